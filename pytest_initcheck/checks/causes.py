"""From causes to consequences: what an error proves, what outranks it, and what is told below it.

One mechanism, in this order: what the steps were seen to learn outranks what a surrogate lets one
expect; a suspicion counts where an error confirms it; a finding bows to one that explains it
better; a warning that an error confirms is an error; what follows is told with its root.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence

from pytest_initcheck.checks.rule import Rule, Suspicion
from pytest_initcheck.records import RANK, Consequence, Finding


def attach(found: Sequence[Finding | Suspicion], by_id: Mapping[str, Rule]) -> list[Finding]:
    """Each finding that follows from an error becomes one of its consequences."""
    findings = _confirmed(_tempered(_certain(found, by_id), by_id), by_id)
    above: dict[int, Finding] = {}
    for finding in findings:
        for other in _explaining(finding, findings, by_id):
            # Rules of a team may explain each other in a circle.
            if _root(other, above) is not finding:
                above[id(finding)] = other
                break
    consequences: dict[int, list[Consequence]] = {}
    for finding in findings:
        if id(finding) in above:
            consequences.setdefault(id(_root(finding, above)), []).append(Consequence.of(finding))
    return [
        dataclasses.replace(finding, consequences=tuple(consequences.get(id(finding), ())))
        for finding in findings
        if id(finding) not in above
    ]


def outranked(found: Finding | Suspicion, by_id: Mapping[str, Rule]) -> Finding | Suspicion:
    """A warning in the place of an error that is to be expected, and did not come."""
    if isinstance(found, Suspicion) or found.severity != "error":
        return found
    rule = by_id.get(found.id)
    if rule is None or not rule.surrogate:
        return found
    cause = f"{found.cause}; the steps were seen to learn in spite of it"
    return dataclasses.replace(found, severity="warning", cause=cause)


def _certain(found: Sequence[Finding | Suspicion], by_id: Mapping[str, Rule]) -> list[Finding]:
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


def _tempered(findings: list[Finding], by_id: Mapping[str, Rule]) -> list[Finding]:
    """The findings, none more severe than one that its rule bows to."""
    by_rule = {finding.id: finding.severity for finding in findings}
    kept = []
    for finding in findings:
        rule = by_id.get(finding.id)
        bows = rule.bows if rule is not None else ()
        masters = [by_rule[id] for id in bows if id in by_rule]
        severity = max([finding.severity, *masters], key=lambda each: RANK[each])
        kept.append(dataclasses.replace(finding, severity=severity))
    return kept


def _confirmed(findings: list[Finding], by_id: Mapping[str, Rule]) -> list[Finding]:
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
    finding: Finding, findings: list[Finding], by_id: Mapping[str, Rule]
) -> Iterator[Finding]:
    """What a finding may follow from directly; a warning explains no error."""
    rule = by_id.get(finding.id)
    follows = rule.follows if rule else frozenset()
    for other in findings:
        if other.id in follows and RANK[other.severity] <= RANK[finding.severity]:
            yield other
