"""The verdict that follows from findings."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_initcheck.records import Finding, Verdict


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """ "fail" with any error, "warn" with any warning, else "pass"."""
    severities = {finding.severity for finding in findings}
    if "error" in severities:
        return "fail"
    return "warn" if "warning" in severities else "pass"
