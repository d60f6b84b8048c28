"""Verdicts over seeds, as findings: did enough of them escape, or reach an accuracy?"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pytest_initcheck.checks.external_rules import OUTSIDE
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding, RunRecord
from pytest_initcheck.report.looks import path_text
from pytest_initcheck.session.deciding import ShareClaim
from pytest_initcheck.statistics import ShareVerdict, share_at_least

if TYPE_CHECKING:
    from pytest_initcheck.landscape import Escape
    from pytest_initcheck.session.deciding import Decider


@dataclass(frozen=True)
class OverSeeds:
    """What the seeds say: the finding where they contradict (else none), and details."""

    share: ShareVerdict
    finding: Finding
    details: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The finding, where the verdict does not hold."""
        return () if self.share.holds else (self.finding,)

    @property
    def text(self) -> str:
        """Verdict, measured against allowed, details and remedy, for a failure."""
        first = f"fail: {self.finding.quantity}: {self.share.sentence}"
        details = [f"  {line}" for line in self.details]
        return "\n".join([first, *details, f"fix: {self.finding.remedy}"])


def escapes(probability: float) -> ShareClaim:
    """The claim that so many seeds escape."""
    return ShareClaim(lambda record: int(sum(record.metrics["escaped"])), probability)


def escaped(found: Escape, probability: float, decider: Decider | None = None) -> OverSeeds:
    """Whether the share of seeds that escaped is in keeping with ``probability`` in [0, 1].

    Raises:
        InitcheckError: the probability is none.
    """
    share = decided(found.verdict(probability), decider)
    finding = _finding(
        "escape",
        "seeds that escape",
        share,
        f"the optimiser ends elsewhere on most seeds: {found.summary()}",
    )
    return OverSeeds(share, finding, (f"ends: {found.summary()}", *_path(decider)))


@dataclass(frozen=True)
class Target:
    """An accuracy that a ``probability`` of seeds has to reach, in ``metric`` or the usual one."""

    accuracy: float
    probability: float
    metric: str | None = None

    @property
    def share(self) -> ShareClaim:
        """The claim that so many seeds reach it."""
        return ShareClaim(self.successes, self.probability)

    def successes(self, record: RunRecord) -> int:
        """How many seeds reach it; a NaN does not."""
        return sum(value >= self.accuracy for value in self.values(record))

    def values(self, record: RunRecord) -> tuple[float, ...]:
        """The metric, by seed.

        Raises:
            InitcheckError: the record has no such metric.
        """
        name = self.name(record)
        if name not in record.metrics:
            known = ", ".join(sorted(record.metrics)) or "none"
            raise InitcheckError(
                f"the experiment has no metric {name!r} (it has {known}); accuracies need integer "
                "targets, anything else a measure= of the experiment and metric="
            )
        return record.metrics[name]

    def name(self, record: RunRecord) -> str:
        """What the metric is called."""
        known = "validation accuracy" if "validation accuracy" in record.metrics else "accuracy"
        return self.metric or known


def reached(record: RunRecord, target: Target, decider: Decider | None = None) -> OverSeeds:
    """Whether enough seeds reach the accuracy at the end.

    Raises:
        InitcheckError: the record has no such metric, or the probability is none.
    """
    values, name = target.values(record), target.name(record)
    share = share_at_least(target.successes(record), len(values), target.probability)
    share = decided(share, decider)
    finding = _finding(
        "accuracy",
        f"seeds whose {name} reaches {target.accuracy:g}",
        share,
        "the training ends below the accuracy on too many seeds",
    )
    return OverSeeds(share, finding, (_spread(name, values), *_path(decider)))


def decided(share: ShareVerdict, decider: Decider | None) -> ShareVerdict:
    """The verdict as it was reached, where seeds were taken until it was."""
    answer = decider.answer("share") if decider else None
    return share if answer is None else replace(share, holds=answer != "fails")


def _path(decider: Decider | None) -> tuple[str, ...]:
    return (path_text(decider.looks),) if decider and decider.looks else ()


def check_accuracy(accuracy: object) -> None:
    """Refuse, before anything is trained, what is no share.

    Raises:
        InitcheckError: it is not a number in [0, 1].
    """
    number = isinstance(accuracy, (int, float)) and not isinstance(accuracy, bool)
    if not number or not 0 <= accuracy <= 1:  # type: ignore[operator]
        raise InitcheckError(f"accuracy={accuracy!r}: pass a share from 0 to 1, such as 0.93")


def _finding(check: str, quantity: str, share: ShareVerdict, cause: str) -> Finding:
    (rule,) = OUTSIDE[check]
    return rule.found(
        check,
        "error",
        (),
        quantity,
        measured=share.share,
        limit=share.required,
        remedy=rule.remedy,
        cause=cause,
    )


def _spread(metric: str, values: tuple[float, ...]) -> str:
    ordered = sorted(value for value in values if math.isfinite(value))
    if not ordered:
        return f"{metric}: not finite on any seed"
    middle, lost = ordered[len(ordered) // 2], len(values) - len(ordered)
    text = f"{metric}: worst {ordered[0]:.4g}, median {middle:.4g}, best {ordered[-1]:.4g}"
    return text + (f", not finite on {lost} of {len(values)} seeds" if lost else "")
