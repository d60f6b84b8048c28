"""What came out of looking at a training step."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_initcheck.checks.verdict import verdict_of
from pytest_initcheck.ignores import Ignore
from pytest_initcheck.records import Curve, Finding, RunRecord, Verdict
from pytest_initcheck.records.display import Displayed
from pytest_initcheck.report import notebook as _notebook  # noqa: F401


@dataclass(frozen=True, kw_only=True)
class StepReport(Displayed):
    """What is wrong with a training step.

    ``plot()`` draws the losses, ``to_frame()`` tables them, a notebook shows the report's page.

    Attributes:
        findings: worst first; `str` of one is a readable line.
        losses: what the calls returned as loss, in order; empty where they return none.
        calls: how often the step was called on the batch before everything was put back.
        meta: model, optimiser, device and dtype.
        ignored: the findings that do not count, each with its reason.
        unused_ignores: the ignores that matched nothing.
    """

    findings: list[Finding]
    losses: tuple[float, ...]
    calls: int
    meta: dict[str, str] = field(default_factory=dict)
    ignored: list[Finding] = field(default_factory=list)
    unused_ignores: list[Ignore] = field(default_factory=list)

    @property
    def verdict(self) -> Verdict:
        """ "fail" with any error, "warn" with any warning, else "pass"."""
        return verdict_of(self.findings)

    def run_record(self) -> RunRecord:
        """The losses, as the record that reports and baselines hold."""
        curves: dict[str, tuple[Curve, ...]] = {"loss": (self.losses,)} if self.losses else {}
        return RunRecord(curves=curves, meta={**self.meta, "calls": str(self.calls)})

    def __repr__(self) -> str:
        return f"StepReport({self.verdict}: {len(self.findings)} findings, {self.calls} calls)"

    def __str__(self) -> str:
        lines = [f"verdict: {self.verdict}", *(str(finding) for finding in self.findings)]
        lines += [f"ignored ({finding.ignored}): {finding}" for finding in self.ignored]
        return "\n".join(lines)
