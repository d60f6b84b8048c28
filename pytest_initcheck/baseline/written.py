"""Data as the text of a file: which members have lines of their own."""

from __future__ import annotations

import json
from typing import Any

from pytest_initcheck.baseline.layout import Branch, OwnLine


def lines(value: Any) -> str:
    """Valid JSON; the members of a branch that are neither branches nor lines share its first."""
    if isinstance(value, OwnLine):
        return lines(value.value)
    if not isinstance(value, Branch) or not value:
        return _json(value, separators=(",", ":"))
    members = [(f"{_json(key)}:{lines(own)}", own) for key, own in sorted(value.items())]
    alone = [text for text, own in members if isinstance(own, (Branch, OwnLine))]
    shared = [text for text, own in members if not isinstance(own, (Branch, OwnLine))]
    own_lines = [",".join(shared), *alone] if shared else alone
    return "{" + ("" if shared else "\n") + ",\n".join(own_lines) + "}"


def _json(value: Any, separators: tuple[str, str] | None = None) -> str:
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=separators
    )


def indented(value: Any, depth: int = 0) -> str:
    """Valid JSON with a line for each member of a branch, indented."""
    if not isinstance(value, Branch) or not value:
        return _json(value)
    indent = " " * (depth + 1)
    members = (f"{indent}{_json(key)}: {indented(value[key], depth + 1)}" for key in sorted(value))
    return "{\n" + ",\n".join(members) + "\n" + " " * depth + "}"
