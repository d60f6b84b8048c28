"""Which findings an assertion about one aspect of a start looks at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pytest_initcheck.checks.rule import Check
from pytest_initcheck.records import Finding


def faults(findings: Iterable[Finding], aspect: str, checks: Sequence[Check]) -> list[Finding]:
    """The errors among the findings that are about an aspect, or have led to one that is."""
    mine = {check.name for check in checks if aspect in getattr(check, "aspects", ())}
    return [f for f in findings if f.severity == "error" and _concerns(f, mine)]


def _concerns(finding: Finding, checks: set[str]) -> bool:
    led_to = (consequence.finding for consequence in finding.consequences)
    told = [finding, *(f for f in led_to if f is not None and f.severity == "error")]
    return any(each.check in checks for each in told)
