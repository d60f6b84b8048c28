"""On which line of a JSON text each value stands; only looked up when something is wrong."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from pytest_initcheck.serialization import Path

MOST_DEPTH = 40
# About a second. What stands further on is said to be on the last line that was looked at.
MOST_LOOKED_AT = 1 << 20
_TOKEN = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[\[\]{},:]|[^\s\[\]{},:"]+)')


def line_of(text: str, path: Path) -> int:
    """The line, counted from 1, of the value at ``path``, or of the nearest thing around it."""
    found = 1
    depth = -1
    for place, offset in positions(text):
        if place == path[: len(place)] and len(place) > depth:
            found, depth = _line(text, offset), len(place)
        if depth == len(path):
            break
    return found


def line_of_duplicate(text: str) -> int:
    """The line of the first key that stands twice in one object."""
    seen: set[Path] = set()
    for place, offset in positions(text):
        if place in seen:
            return _line(text, offset)
        seen.add(place)
    return 1


def line_too_deep(text: str) -> int:
    """The first line on which brackets are nested deeper than any baseline nests them."""
    depth = 0
    for token in _tokens(text):
        depth += {"{": 1, "[": 1, "}": -1, "]": -1}.get(token[1], 0)
        if depth > MOST_DEPTH:
            return _line(text, token.start(1))
    return 1


def positions(text: str) -> Iterator[tuple[Path, int]]:
    """The path and offset of every value in valid JSON, in order; a member's is that of its key."""
    path: list[str | int] = []
    is_object: list[bool] = []
    wants_key = False
    for match in _tokens(text):
        token = match[1]
        if token in ("}", "]"):
            path.pop()
            is_object.pop()
            wants_key = False
        elif token == ",":
            wants_key = is_object[-1]
            if not wants_key:
                path[-1] = int(path[-1]) + 1
        elif token == ":":
            wants_key = False
        elif wants_key:
            path[-1] = json.loads(token, strict=False)
            yield tuple(path), match.start(1)
        else:
            if not is_object or not is_object[-1]:
                yield tuple(path), match.start(1)
            if token in ("{", "["):
                is_object.append(token == "{")
                path.append(0)
                wants_key = is_object[-1]


def _tokens(text: str) -> Iterator[re.Match[str]]:
    if "\n" in text.rstrip():
        yield from _TOKEN.finditer(text, 0, MOST_LOOKED_AT)


def _line(text: str, offset: int) -> int:
    return text.count("\n", 0, offset) + 1
