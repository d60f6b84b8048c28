"""Applies ignores to the findings of one diagnosis: what counts, what does not, what is unused."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pytest_initcheck.checks.external_rules import IGNORE
from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.ignores import Ignore
from pytest_initcheck.records import Finding


@dataclass(frozen=True)
class Sorted:
    """Findings that count, those that are ignored (each with its reason), and ignores in vain."""

    findings: list[Finding]
    ignored: list[Finding]
    unused: list[Ignore]


def sort_out(findings: Sequence[Finding], ignores: Sequence[Ignore]) -> Sorted:
    """Take out what is ignored, and tell of ignores of this test that match nothing.

    Consequences are not looked at: they go with their root, and an ignore that would match one
    matches nothing, so that it cannot hide a part of what another finding leads to. Where several
    ignores match, the first one gives the reason.
    """
    kept: list[Finding] = []
    ignored: list[Finding] = []
    for finding in findings:
        chosen = _chosen(finding, ignores)
        rest = [place for place in layers_of(finding) if place not in chosen]
        if rest:
            kept.append(_part(finding, rest) if chosen else finding)
        ignored += _ignored(finding, chosen, not rest)
    unused = [ignore for ignore in ignores if not any(_match(ignore, f) for f in findings)]
    told = [useless(ignore) for ignore in unused if not ignore.shared]
    return Sorted(kept + told, ignored, unused)


def layers_of(finding: Finding) -> list[str]:
    """Every layer of a finding, the first one first; [""] for one of the model as a whole."""
    return list(dict.fromkeys((finding.layer, *finding.layers)))


def _match(ignore: Ignore, finding: Finding) -> bool:
    return ignore.names(finding.id) and any(map(ignore.takes, layers_of(finding)))


def _chosen(finding: Finding, ignores: Sequence[Ignore]) -> dict[str, Ignore]:
    """The first ignore for each layer of the finding that has one."""
    mine = [ignore for ignore in ignores if ignore.names(finding.id)]
    found = {
        place: next((ignore for ignore in mine if ignore.takes(place)), None)
        for place in layers_of(finding)
    }
    return {place: ignore for place, ignore in found.items() if ignore is not None}


def _ignored(finding: Finding, chosen: dict[str, Ignore], is_whole: bool) -> Iterator[Finding]:
    """The finding once for each reason, with the layers that are ignored for it."""
    for reason in dict.fromkeys(ignore.reason for ignore in chosen.values()):
        mine = [place for place, ignore in chosen.items() if ignore.reason == reason]
        part = finding if mine == layers_of(finding) else _part(finding, mine)
        # What follows cannot be divided: it stays with what counts, else with the first layer.
        if not is_whole or mine[0] != finding.layer:
            part = dataclasses.replace(part, consequences=())
        yield dataclasses.replace(part, ignored=reason)


def _part(finding: Finding, layers: list[str]) -> Finding:
    """The finding in some of its layers, without what was measured or written for the others."""
    others = [place for place in layers_of(finding) if place not in layers]
    part = dataclasses.replace(finding, layer=layers[0], layers=tuple(layers))
    if _may_touch(Remedy.of(finding), others):
        part = dataclasses.replace(part, remedy_code="", remedy_target="", remedy_names=())
    if finding.counts_layers:
        return dataclasses.replace(part, measured=len(layers))
    if layers[0] == finding.layer:
        return part
    # Units and numbers are those of the first layer; the profile may know the others'.
    profile = finding.profile
    is_same = finding.measured is not None and profile.get(finding.layer) == finding.measured
    measured = profile.get(layers[0]) if is_same else None
    limit = None if measured is None else finding.limit
    return dataclasses.replace(part, units=(), measured=measured, limit=limit)


def _may_touch(remedy: Remedy, layers: Sequence[str]) -> bool:
    """Whether a remedy changes one of the layers, or does not say what it acts on."""
    return not remedy.target or any(remedy.touches(layer) for layer in layers)


def useless(ignore: Ignore) -> Finding:
    """The finding (IC001) that an ignore matches nothing."""
    advice = IGNORE.remedy
    if ignore.origin:
        advice += "; keep it where another diagnosis of this test needs it"
    return IGNORE.found(
        "ignore",
        "info",
        (),
        "findings that the ignore matches",
        measured=0,
        limit=1,
        remedy=advice,
        cause=f"the ignore '{ignore}' matches nothing in this diagnosis",
    )
