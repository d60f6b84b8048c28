"""Findings with the calls that wrote what they are about, of a model whose ledger is known."""

from __future__ import annotations

from dataclasses import replace

from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.records import Finding


def with_lines(finding: Finding, facts: ConstructionFacts) -> Finding:
    """The finding with the calls that wrote its layer, and in the remedy the lines to mend."""
    lines = facts.lines(finding.layer) if finding.remedy_target in ("", "model") else ""
    remedy = f"{finding.remedy} (what is there now was written at {lines})" if lines else ""
    return replace(finding, written=facts.told(finding.layer), remedy=remedy or finding.remedy)
