"""Findings as the page's script reads them, and as plain text beside it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from pytest_initcheck.records import RANK, Comparison, Entry, Finding, LayerRecord, describe_units
from pytest_initcheck.report import summary
from pytest_initcheck.report.against import Against
from pytest_initcheck.report.pack import rounded
from pytest_initcheck.report.primer import primer
from pytest_initcheck.report.quantities import main_parameter
from pytest_initcheck.report.texts import Texts, difference_words

MOST_FINDINGS = 60
MOST_DIFFERENCES = 40
MOST_OTHERS = 6
_ADDRESS = re.compile(r"https?://[^\s<>\"']+")
HEALTH_FIRST = "fix the health first: an update stores only what is healthy"
_HEADLINES = {
    "match": "All {n} compared values lie within their tolerance.",
    "changed": "{bad} of {n} compared values left their tolerance, worst first.",
    "missing": "There is no stored baseline{place}; {way_out}.",
    "new": "The baseline was written in this run.",
    "unreadable": "The stored baseline cannot be read, and is left as it is.",
    "obsolete": "The stored baseline has no test any more.",
}
_BITS: dict[tuple[str, bool | None], str] = {
    ("match", True): " They are equal bit for bit, in the same environment.",
    ("match", False): " Not all are equal bit for bit, in the same environment.",
}


def layer_words(layer: LayerRecord) -> tuple[str, str]:
    """Kind and shape of a layer: "Linear", "64 × 784"."""
    tensor = main_parameter(layer.weights)
    return layer.kind, " × ".join(map(str, tensor.shape)) if tensor else ""


def known_layers(entry: Entry) -> dict[str, LayerRecord]:
    """The layers of an entry's model, by name."""
    model = entry.record.before or entry.record.after
    return {layer.name: layer for layer in model.layers} if model else {}


def findings_data(findings: Iterable[Finding], entry: Entry, texts: Texts) -> list[dict[str, Any]]:
    """At most 60 findings, worst first."""
    layers = known_layers(entry)
    worst_first = sorted(findings, key=lambda finding: RANK[finding.severity])
    return [_finding(finding, layers, texts) for finding in worst_first[:MOST_FINDINGS]]


def _finding(finding: Finding, layers: Mapping[str, LayerRecord], texts: Texts) -> dict[str, Any]:
    add = texts.add
    data: dict[str, Any] = {
        "id": add(finding.id),
        "check": add(finding.title or finding.check),
        "severity": finding.severity,
        "numbers": add(finding.numbers),
        "quantity": add(finding.quantity),
        "cause": add(finding.cause),
    }
    layer = layers.get(finding.layer)
    words = {
        "about": finding.check if finding.title else "",
        "layer": finding.layer,
        "kind": layer.kind if layer else "",
        "shape": layer_words(layer)[1] if layer else "",
        "units": describe_units(finding.units) if finding.units else "",
        "others": others_text(finding),
        "written": finding.written,
        "remedy": finding.remedy,
        "code": finding.remedy_code,
        "reference": finding.reference,
        "link": address(finding),
        "ignored": finding.ignored,
        "primer": primer(finding.id),
    }
    data |= {key: add(word) for key, word in words.items() if word}
    if finding.measured is not None:
        data["measured"], data["limit"] = rounded(finding.measured), rounded(finding.limit)
        data["most"] = is_upper(finding)
    if len(finding.layers) > 1:
        data["layers"] = texts.add_all(finding.layers)
    if finding.consequences:
        data["leads"] = texts.add_all(finding.consequences)
    if len(finding.profile) > 1:
        data["profile"] = [
            texts.add_all(list(finding.profile)),
            [rounded(value) for value in finding.profile.values()],
        ]
    return data


def is_upper(finding: Finding) -> bool:
    """Whether the limit bounds the measured value from above."""
    measured, limit = finding.measured, finding.limit
    return measured is not None and limit is not None and measured > limit


def others_text(finding: Finding) -> str:
    """The other layers of the finding, the first few by name."""
    others = [name for name in finding.layers if name != finding.layer]
    more = f" and {len(others) - MOST_OTHERS} more" if len(others) > MOST_OTHERS else ""
    return ", ".join(others[:MOST_OTHERS]) + more


def address(finding: Finding) -> str:
    """The web address in the finding's reference; nothing else ever becomes a link."""
    found = _ADDRESS.search(finding.reference)
    return found[0] if found else ""


def comparison_data(
    entry: Entry, texts: Texts, against: Against | None = None
) -> dict[str, Any] | None:
    """An entry against its baseline, or another run; None where it was not compared."""
    comparison = entry.comparison
    if comparison is None:
        return None
    bad = len(comparison.differences)
    data: dict[str, Any] = {"status": comparison.status}
    data["text"] = texts.add(
        against.headline(comparison) if against else headline(entry, comparison)
    )
    if bad:
        data["differences"] = [
            [
                *texts.add_all([difference_words(d.key), d.actual, d.expected, d.allowed]),
                rounded(d.excess, 3),
            ]
            for d in comparison.differences[:MOST_DIFFERENCES]
        ]
        data["more"] = max(bad - MOST_DIFFERENCES, 0)
    if comparison.notes:
        data["notes"] = texts.add_all(comparison.notes)
    origin = [("file", comparison.file)] if comparison.file else []
    origin += list(comparison.provenance.items())
    if origin and comparison.status not in ("missing", "unreadable"):
        data["origin"] = [texts.add_all(pair) for pair in origin]
    return data


def headline(entry: Entry, comparison: Comparison) -> str:
    """How the comparison stands, and the way out where there is one that works."""
    bad = len(comparison.differences)
    is_sick = summary.entry_state(entry) == "fail"
    text = _HEADLINES[comparison.status].format(
        n=max(comparison.compared, bad),
        bad=bad,
        place=f" in {comparison.file}" if comparison.file else "",
        way_out=HEALTH_FIRST if is_sick else "--initcheck-update creates it once the test passes",
    )
    return text + _BITS.get((comparison.status, comparison.bit_identical), "")


def since(entry: Entry, against: Against | None = None) -> str:
    """Since when a fault is there, as the baseline tells it; empty where nothing is known."""
    comparison = entry.comparison
    if comparison is None or comparison.status == "unreadable":
        return ""
    if against is not None:
        return against.since(comparison)
    if comparison.status in ("missing", "new"):
        return "no baseline yet tells since when"
    known = comparison.provenance
    made = f" (made with torch {known['torch']})" if "torch" in known else ""
    words = {
        "fail": f"as in its baseline{made}: it is not new",
        "warn": f"new: its baseline{made} had warnings only",
        "pass": f"new: its baseline{made} was healthy",
    }
    return words.get(known.get("verdict", ""), "")
