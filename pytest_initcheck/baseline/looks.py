"""Whether the seeds so far say that a run is as its baseline, or has changed, or neither."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from pytest_initcheck.baseline.compare import LEAST, checks_of, differing, error_rates
from pytest_initcheck.baseline.judge import ValueCheck
from pytest_initcheck.baseline.pairing import are_repeated
from pytest_initcheck.baseline.seeds import THIN
from pytest_initcheck.baseline.stored import Stored, freeze
from pytest_initcheck.records import Bounds, Decision, Look, RunRecord
from pytest_initcheck.sequential import NEVER, Stage

# The values that a picture is drawn of, where none of all is open.
DRAWN = ("metric", "curve")
# A standard normal value beyond which nothing is chance; t has quantiles for its level.
FURTHEST = 20.0
Rated = tuple[ValueCheck, float]


def look(actual: RunRecord, expected: Stored, stage: Stage, least: float = LEAST) -> Look:
    """Compare what there is after some of the seeds.

    "changed" where a value has left its tolerance at this look, "open" where one of those that were
    trained is neither there nor among what a change would hardly leave it at, else "within chance".
    """
    checks, _ = checks_of(freeze(actual), expected)
    rates = error_rates(checks)
    # What was done again leaves nothing to ask of all that a baseline has no values by seed of.
    is_repeated = are_repeated(actual, expected.record)
    asked = [
        (check, rates[check.group])
        for check in checks
        if check.is_trained and (check.subject[0] == "metric" or not is_repeated)
    ]
    drawn = [one for one in asked if one[0].subject[0] in DRAWN]
    found = differing(checks, least, stage=stage)[0]
    if found:
        outside = [(c, a) for c, a in asked if c.judge(stage.rejects_at(a))]
        told = _told(outside or drawn, stage, "changed")
        # What was never a matter of chance lies beyond all bounds.
        return told if outside else replace(told, statistic=math.inf, about=found[0].key)
    unknown = [(c, a) for c, a in asked if _is_open(c, stage.accepts_at(a), least)]
    if unknown and not stage.is_last:
        return _told(unknown, stage, "open")
    return _told(drawn, stage, "within chance")


def _is_open(check: ValueCheck, level: float, least: float) -> bool:
    """Whether more seeds may show a change; not where all that it may be is too small to count."""
    difference = check.judge(level)
    if check.unjudged is not None or difference is None:
        return check.unjudged is not None and check.unjudged.why == THIN
    return check.is_certain or check.size * (1 + 1 / difference.excess) >= least


def _told(asked: Sequence[Rated], stage: Stage, decision: Decision) -> Look:
    """The look, by the value that lies furthest out for its bounds."""
    scored = [(_score(check), _normal(alpha), check, alpha) for check, alpha in asked]
    score, _, check, alpha = max(
        scored, key=lambda one: one[0] / one[1], default=(0.0, 0.0, ValueCheck(judge=_never), None)
    )
    return Look(
        question="baseline",
        seeds=stage.seeds,
        most=stage.design.at_most,
        statistic=score,
        bounds=() if alpha is None else tuple(_bounds(alpha, stage)),
        decision=decision,
        about=" ".join(check.subject).strip(),
    )


def _bounds(alpha: float, stage: Stage) -> Iterator[Bounds]:
    for seeds in stage.design.looks:
        at = replace(stage, seeds=seeds)
        levels = at.accepts_at(alpha), at.rejects_at(alpha)
        accepts, rejects = (_normal(level) if NEVER < level < 1 else None for level in levels)
        yield Bounds(seeds=seeds, accepts=accepts, rejects=rejects)


def _never(_: float) -> None:
    return None


def _score(check: ValueCheck) -> float:
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
