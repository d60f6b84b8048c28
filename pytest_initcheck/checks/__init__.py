"""The checks: each reads evidence and yields findings; see ``judge``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence

from pytest_initcheck.checks.base import Check, Rule
from pytest_initcheck.checks.copies import Copies
from pytest_initcheck.checks.dead import DeadUnits
from pytest_initcheck.checks.fan import GroupedFan
from pytest_initcheck.checks.gradients import Gradients
from pytest_initcheck.checks.initial_loss import InitialLoss
from pytest_initcheck.checks.input_scale import InputScale
from pytest_initcheck.checks.leftovers import Leftovers
from pytest_initcheck.checks.movement import Movement
from pytest_initcheck.checks.nonfinite import NonFinite
from pytest_initcheck.checks.saturation import Saturation
from pytest_initcheck.checks.symmetry import Symmetry
from pytest_initcheck.checks.zero import ZeroWeights
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding, Severity

__all__ = ["Check", "Rule", "judge", "registered", "rules"]

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def registered() -> list[Check]:
    """The built-in checks, from root causes to what follows from them."""
    return [
        NonFinite(),
        InputScale(),
        ZeroWeights(),
        Symmetry(),
        DeadUnits(),
        Saturation(),
        Gradients(),
        InitialLoss(),
        Movement(),
        Copies(),
        Leftovers(),
        GroupedFan(),
    ]


def rules(checks: Iterable[Check] | None = None) -> list[Rule]:
    """Every rule of the checks (default: the built-in ones), by id."""
    found = [rule for check in checks or registered() for rule in check.rules]
    return sorted(found, key=lambda rule: rule.id)


def judge(evidence: Evidence, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Run the checks; findings come worst first, root causes before what follows from them."""
    checks = registered() if checks is None else list(checks)
    findings = [finding for check in checks for finding in check.run(evidence)]
    by_id = {rule.id: rule for check in checks for rule in check.rules}
    return sorted(attach(findings, by_id), key=lambda finding: _RANK[finding.severity])


def attach(findings: list[Finding], by_id: dict[str, Rule]) -> list[Finding]:
    """Each finding that follows from an error becomes one of its consequences."""
    roots: list[Finding] = []
    consequences: dict[int, list[str]] = {}
    for finding in findings:
        rule = by_id.get(finding.id)
        root = next((r for r in findings if r is not finding and _explains(r, rule, by_id)), None)
        if root is None:
            roots.append(finding)
        else:
            consequences.setdefault(id(root), []).append(str(finding))
    return [
        dataclasses.replace(root, consequences=tuple(consequences.get(id(root), ())))
        for root in roots
    ]


def _explains(root: Finding, rule: Rule | None, by_id: dict[str, Rule]) -> bool:
    if rule is None or root.severity != "error" or root.id not in rule.follows:
        return False
    # Only an error that stands for itself can carry others.
    return root.id in by_id
