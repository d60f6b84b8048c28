"""This package, asked like the others."""

from __future__ import annotations

from typing import Any

from rivals_adapters import OWN, Flag, Rival


def initcheck(start: Any) -> list[Flag]:
    levels = {"error": "fail", "warning": "warn"}
    findings = start.diagnosis().findings
    return [Flag(f.id, levels[f.severity], str(f)) for f in findings if f.severity in levels]


RIVAL = Rival(
    name=OWN,
    commands={"diagnose": initcheck},
)
