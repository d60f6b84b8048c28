"""The checks: each reads evidence and yields findings; see ``judge``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from pytest_initcheck.checks.base import Check, Rule, Suspicion
from pytest_initcheck.checks.contract import Contract
from pytest_initcheck.checks.copies import Copies
from pytest_initcheck.checks.dead import DeadUnits
from pytest_initcheck.checks.fan import GroupedFan
from pytest_initcheck.checks.fit import Fit
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
    found: list[Check] = [
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
    return [*found, Fit(found)]


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
    findings = [found for check in checks for found in check.run(evidence)]
    by_id = {rule.id: rule for check in checks for rule in check.rules}
    return sorted(attach(findings, by_id), key=lambda finding: _RANK[finding.severity])


def attach(found: Sequence[Finding | Suspicion], by_id: dict[str, Rule]) -> list[Finding]:
    """Each finding that follows from an error becomes one of its consequences."""
    findings = _confirmed(_tempered(_certain(found, by_id), by_id), by_id)
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


def _certain(found: Sequence[Finding | Suspicion], by_id: dict[str, Rule]) -> list[Finding]:
    """The findings, with those suspicions that an error confirms, in the order of the checks."""
    errors = [f.id for f in found if isinstance(f, Finding) and f.severity == "error"]
    proofs = [by_id[id] for id in errors if id in by_id and by_id[id].confirms]
    explained = frozenset[str]().union(*(rule.follows for rule in proofs))
    kept = []
    for item in found:
        if isinstance(item, Finding):
            kept.append(item)
        elif item.finding.id in explained:
            kept.append(dataclasses.replace(item.finding, severity="error"))
    return kept


def _tempered(findings: list[Finding], by_id: dict[str, Rule]) -> list[Finding]:
    """The findings, none more severe than one that its rule bows to."""
    by_rule = {finding.id: finding.severity for finding in findings}
    kept = []
    for finding in findings:
        rule = by_id.get(finding.id)
        bows = rule.bows if rule is not None else ()
        masters = [by_rule[id] for id in bows if id in by_rule]
        severity = max([finding.severity, *masters], key=lambda each: _RANK[each])
        kept.append(dataclasses.replace(finding, severity=severity))
    return kept


def _confirmed(findings: list[Finding], by_id: dict[str, Rule]) -> list[Finding]:
    """The findings, where an error confirms it with the first warning that explains it raised."""
    for finding in findings:
        rule = by_id.get(finding.id)
        if rule is None or not rule.confirms or finding.severity != "error":
            continue
        causes = [f for f in findings if f.id in rule.follows and f.severity != "info"]
        if causes and all(cause.severity == "warning" for cause in causes):
            raised = dataclasses.replace(causes[0], severity="error")
            findings = [raised if f is causes[0] else f for f in findings]
    return findings


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
