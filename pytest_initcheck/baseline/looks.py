"""Whether the seeds so far say that a run is as its baseline, or has changed, or neither."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from pytest_initcheck.baseline.compare import LEAST, error_rates, held, judged
from pytest_initcheck.baseline.judge import Check
from pytest_initcheck.baseline.stored import Stored, freeze
from pytest_initcheck.records import Decision, Look, RunRecord
from pytest_initcheck.sequential import Stage

# Which values more seeds are taken for; what a trained model looks like follows them.
ASKED = ("metric", "curve")
# A standard normal value beyond which nothing is chance; t has quantiles for its level.
FURTHEST = 20.0
Rated = tuple[Check, float]


def look(actual: RunRecord, expected: Stored, stage: Stage, least: float = LEAST) -> Look:
    """Compare what there is after some of the seeds.

    "changed" where a value has left its tolerance at this look, "open" where a metric or a curve
    is neither there nor among what a change would hardly leave it at, else "within chance".
    """
    _, checks = held(freeze(actual), expected, None)
    rates = error_rates(checks)
    asked = [(c, rates[c.group]) for c in checks if c.is_trained and c.subject[0] in ASKED]
    decision: Decision = "within chance"
    if judged(checks, least, stage=stage)[0]:
        decision = "changed"
    elif not stage.is_last and any(_is_open(c, stage.accepts_at(a), least) for c, a in asked):
        decision = "open"
    return _told(asked, stage, decision)


def _is_open(check: Check, level: float, least: float) -> bool:
    """Whether more seeds may show a change; not where all that it may be is too small to count."""
    difference = check.judge(level)
    if check.thin or difference is None:
        return bool(check.thin)
    return check.is_certain or check.size * (1 + 1 / difference.excess) >= least


def _told(asked: Sequence[Rated], stage: Stage, decision: Decision) -> Look:
    """The look, by the value that lies furthest out for its bounds."""
    scored = [(_score(check), check, alpha) for check, alpha in asked]
    furthest = max(scored, key=lambda one: one[0] / _normal(stage.rejects_at(one[2])), default=None)
    head = Look(
        question="baseline",
        seeds=stage.seeds,
        most=stage.design.at_most,
        statistic=0.0,
        accepts=None,
        rejects=None,
        decision=decision,
    )
    if furthest is None:
        return head
    score, check, alpha = furthest
    accepts, rejects = (_normal(of(alpha)) for of in (stage.accepts_at, stage.rejects_at))
    about = " ".join(check.subject)
    return replace(head, statistic=score, accepts=accepts, rejects=rejects, about=about)


def _score(check: Check) -> float:
    """The standard normal value as significant as what the check sees, found by bisection."""
    low, high = 0.0, FURTHEST
    if check.judge(_level(high)) is not None:
        return math.inf
    while high - low > 1e-3:
        middle = (low + high) / 2
        low, high = (low, middle) if check.judge(_level(middle)) is None else (middle, high)
    return low


def _level(normal: float) -> float:
    return math.erfc(normal / math.sqrt(2))


def _normal(level: float) -> float:
    from scipy.special import ndtri

    return float(-ndtri(level / 2))
