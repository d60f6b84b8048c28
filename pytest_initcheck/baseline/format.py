"""The text of a baseline file: one line per tensor, metric or curve, keys sorted, valid JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pytest_initcheck.baseline import json_lines, short_form, text, written
from pytest_initcheck.baseline.layout import Branch, Layout, Line, part
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.serialization import Fault, Path

# 1: every field of every tensor. 2: the short form.
FORMAT = 2
_LONG = 1
_FILE = (part("format"), replace(part("path", str), is_required=False), part("tests"))
_MADE = replace(part("made", dict[str, str]), is_required=False)
Tests = dict[str, dict[str, Stored]]


class Content(NamedTuple):
    """What a file holds: entries by name, by test; and whose tests these are, if it says so."""

    tests: Tests
    path: str = ""
    format: int = FORMAT


def render(tests: Mapping[str, Mapping[str, Stored]], path: str = "") -> str:
    """The file that holds these tests of ``path``. Equal content, equal bytes."""
    made = _usual_provenance(tests)
    head = {"format": FORMAT, "path": path, "made": made}
    short = {
        test: Branch({name: _short(stored, made) for name, stored in entries.items()})
        for test, entries in tests.items()
    }
    alone = {key: Line(value) for key, value in head.items() if value}
    return written.lines(Branch({**alone, "tests": Branch(short)})) + "\n"


def _short(stored: Stored, made: dict[str, str]) -> Branch:
    return short_form.write(Layout().encode(stored), made)


def _usual_provenance(tests: Mapping[str, Mapping[str, Stored]]) -> dict[str, str]:
    """What most entries were made with, which is said once."""
    found = [stored.provenance for entries in tests.values() for stored in entries.values()]
    counts = Counter(tuple(sorted(one.items())) for one in found)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ranked[0][0]) if ranked else {}


def render_long(tests: Mapping[str, Mapping[str, Stored]]) -> str:
    """The file of format 1 that holds these tests: all numbers, for people and other programs."""
    return written.indented(Layout().encode({"format": _LONG, "tests": tests}), 0) + "\n"


def parse(content: str, file: str) -> Tests:
    """The tests in the text of a baseline file, as `parse_file` reads it."""
    return parse_file(content, file).tests


def parse_file(content: str, file: str) -> Content:
    """All that the text of a baseline file says; ``file`` is what an error calls it.

    Raises:
        BaselineError: the text is not a valid baseline of this format; the message names file and
            line, what is wrong there, and what to do.
    """
    data = text.load(content, file)
    try:
        found = _read(data)
    except Fault as fault:
        line = json_lines.line_of(content, fault.path)
        raise text.error_at(file, line, str(fault)) from None
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise text.error_at(file, 1, f"holds numbers that are out of all bounds: {error}") from None
    return found


def _read(data: Any) -> Content:
    known = _checked_format(data)
    members = _FILE if known == _LONG else (*_FILE, _MADE)
    found = Layout().values(members, data, ())
    tests = found["tests"]
    if known != _LONG:
        tests = _long(tests, found.get("made", {}))
    try:
        read: Tests = Layout().decode(Tests, tests, ("tests",))
    except Fault as fault:
        if known != _LONG:
            fault.path = short_form.place(fault.path)
        raise
    return Content(read, found.get("path", ""), known)


def _long(tests: Any, made: dict[str, str]) -> Any:
    path: Path = ("tests",)
    found: dict[str, Any] = {}
    for test, entries in Layout().typed(tests, dict, "an object", path).items():
        here = (*path, test)
        named = Layout().typed(entries, dict, "an object", here)
        found[test] = {name: short_form.read(e, made, (*here, name)) for name, e in named.items()}
    return found


def _checked_format(data: Any) -> int:
    if not isinstance(data, dict) or "format" not in data:
        raise Fault((), 'not a baseline: there is no field "format"')
    found = data["format"]
    if type(found) is not int or found not in (_LONG, FORMAT):
        raise Fault(
            ("format",),
            f"has format {json.dumps(found)[:40]}, this version of pytest-initcheck reads formats"
            f" {_LONG} and {FORMAT}; it was written by another version: install that, or take the"
            " file from version control as it was",
        )
    return found


def same_values(a: Stored, b: Stored) -> bool:
    """Whether two entries would be written alike, provenance aside."""
    mine, theirs = ({**Layout().encode(stored), "provenance": None} for stored in (a, b))
    return json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
