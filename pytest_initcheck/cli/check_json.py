"""What ``initcheck check --json`` prints; docs/cli.md says what each key holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.records import Finding, LayerRecord
from pytest_initcheck.serialization import encode
from pytest_initcheck.session.failure import worst_first

if TYPE_CHECKING:
    from pytest_initcheck.diagnosis import Diagnosis

# 1: the first; raise it when a key changes its meaning or goes.
FORMAT = 1


def data_of(
    target: str, diagnosis: Diagnosis, guessed: Sequence[str], *, report: str, histograms: bool
) -> dict[str, Any]:
    """The result as plain data: first what a script asks for, everything measured on request."""
    meta = diagnosis.record.meta
    found = {
        "format": FORMAT,
        "target": target,
        "verdict": diagnosis.verdict,
        "losses": [encode(loss) for loss in diagnosis.losses],
        "findings": _encoded(worst_first(diagnosis.findings)),
        "ignored": _encoded(diagnosis.ignored),
        "unused_ignores": [str(ignore) for ignore in diagnosis.unused_ignores],
        "guessed": list(guessed),
        "settings": dict(meta),
        "layers": [_layer(layer) for layer in diagnosis.record.layers],
        "report": report,
    }
    return found | ({"record": encode(diagnosis.run_record())} if histograms else {})


def _layer(layer: LayerRecord) -> dict[str, Any]:
    return {"name": layer.name, "kind": layer.kind, "nonlinearity": layer.nonlinearity}


def _encoded(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    return [{**encode(dataclasses.asdict(finding)), "text": str(finding)} for finding in findings]
