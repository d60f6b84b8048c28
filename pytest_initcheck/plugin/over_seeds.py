"""Verdicts over seeds, as findings: did enough of them escape, or reach an accuracy?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_initcheck.checks.external_rules import OUTSIDE
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding, RunRecord
from pytest_initcheck.statistics import ShareVerdict, share_at_least

if TYPE_CHECKING:
    from pytest_initcheck.landscape import Escape


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
        return "\n".join([first, *details, f"remedy: {self.finding.remedy}"])


def escaped(found: Escape, probability: float) -> OverSeeds:
    """Whether the share of seeds that escaped is in keeping with ``probability`` in [0, 1].

    Raises:
        InitcheckError: the probability is none.
    """
    finding = _finding(
        "escape",
        "seeds that escape",
        found.verdict(probability),
        f"the optimiser ends elsewhere on most seeds: {found.summary()}",
    )
    return OverSeeds(found.verdict(probability), finding, (f"ends: {found.summary()}",))


def reached(
    record: RunRecord, accuracy: float, probability: float, metric: str | None = None
) -> OverSeeds:
    """Whether enough seeds reach the accuracy at the end; a NaN does not reach it.

    Raises:
        InitcheckError: the record has no such metric, or the probability is none.
    """
    chosen = metric or _default_metric(record)
    if chosen not in record.metrics:
        known = ", ".join(sorted(record.metrics)) or "none"
        raise InitcheckError(
            f"the experiment has no metric {chosen!r} (it has {known}); accuracies need integer "
            "targets, anything else a measure= of the experiment and metric="
        )
    values = record.metrics[chosen]
    share = share_at_least(sum(value >= accuracy for value in values), len(values), probability)
    finding = _finding(
        "accuracy",
        f"seeds whose {chosen} reaches {accuracy:g}",
        share,
        "the training ends below the accuracy on too many seeds",
    )
    return OverSeeds(share, finding, (_spread(chosen, values),))


def check_accuracy(accuracy: object) -> None:
    """Refuse, before anything is trained, what is no share.

    Raises:
        InitcheckError: it is not a number in [0, 1].
    """
    number = isinstance(accuracy, (int, float)) and not isinstance(accuracy, bool)
    if not number or not 0 <= accuracy <= 1:  # type: ignore[operator]
        raise InitcheckError(f"accuracy={accuracy!r}: pass a share from 0 to 1, such as 0.93")


def _default_metric(record: RunRecord) -> str:
    return "validation accuracy" if "validation accuracy" in record.metrics else "accuracy"


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
