"""The checks: each reads evidence and yields findings; see ``judge``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from pytest_initcheck.checks.base import Check, Rule
from pytest_initcheck.checks.contract import Contract
from pytest_initcheck.checks.copies import Copies
from pytest_initcheck.checks.dead import DeadUnits
from pytest_initcheck.checks.fan import GroupedFan
from pytest_initcheck.checks.gradients import Gradients
from pytest_initcheck.checks.growth import Growth
from pytest_initcheck.checks.initial_loss import InitialLoss
from pytest_initcheck.checks.input_scale import InputScale
from pytest_initcheck.checks.leaks import Leaks
from pytest_initcheck.checks.leftovers import Leftovers
from pytest_initcheck.checks.memory import Memory
from pytest_initcheck.checks.movement import Movement
from pytest_initcheck.checks.nonfinite import NonFinite
from pytest_initcheck.checks.optimiser import Optimiser
from pytest_initcheck.checks.outside import outside
from pytest_initcheck.checks.saturation import Saturation
from pytest_initcheck.checks.symmetry import Symmetry
from pytest_initcheck.checks.targets import Targets
from pytest_initcheck.checks.zero import ZeroWeights
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding, Severity

__all__ = ["Check", "Rule", "judge", "registered", "rules"]

_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2}


def registered() -> list[Check]:
    """The built-in checks, from root causes to what follows from them."""
    return [
        NonFinite(),
        Memory(),
        InputScale(),
        Leaks(),
        Contract(),
        Targets(),
        Optimiser(),
        ZeroWeights(),
        Symmetry(),
        DeadUnits(),
        Saturation(),
        Gradients(),
        InitialLoss(),
        Growth(),
        Movement(),
        Copies(),
        Leftovers(),
        GroupedFan(),
    ]


def rules(checks: Iterable[Check] | None = None) -> list[Rule]:
    """Every rule of the checks, by id; by default of the built-in ones and of all that is found
    outside of them."""
    found = [rule for check in checks or registered() for rule in check.rules]
    if checks is None:
        found += [rule for _, rule in outside()]
    return sorted(found, key=lambda rule: rule.id)


def judge(evidence: Evidence, checks: Sequence[Check] | None = None) -> list[Finding]:
    """Run the checks; findings come worst first, root causes before what follows from them."""
    checks = registered() if checks is None else list(checks)
    findings = [finding for check in checks for finding in check.run(evidence)]
    by_id = {rule.id: rule for check in checks for rule in check.rules}
    return sorted(attach(findings, by_id), key=lambda finding: _RANK[finding.severity])


def attach(findings: list[Finding], by_id: dict[str, Rule]) -> list[Finding]:
    """Each finding that follows from an error becomes one of its consequences."""
    above: dict[int, Finding] = {}
    for finding in findings:
        for other in _explaining(finding, findings, by_id):
            # Rules of a team may explain each other in a circle.
            if _root(other, above) is not finding:
                above[id(finding)] = other
                break
    consequences: dict[int, list[str]] = {}
    for finding in findings:
        if id(finding) in above:
            consequences.setdefault(id(_root(finding, above)), []).append(str(finding))
    return [
        dataclasses.replace(finding, consequences=tuple(consequences.get(id(finding), ())))
        for finding in findings
        if id(finding) not in above
    ]


def _root(finding: Finding, above: dict[int, Finding]) -> Finding:
    """What a finding follows from in the end: itself, where nothing explains it."""
    while id(finding) in above:
        finding = above[id(finding)]
    return finding


def _explaining(
    finding: Finding, findings: list[Finding], by_id: dict[str, Rule]
) -> Iterator[Finding]:
    """What a finding may follow from directly; a warning explains no error."""
    rule = by_id.get(finding.id)
    follows = rule.follows if rule else frozenset()
    for other in findings:
        if other.id in follows and _RANK[other.severity] <= _RANK[finding.severity]:
            yield other
