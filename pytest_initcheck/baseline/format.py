"""The text of a baseline file: one line per tensor, metric or curve, keys sorted, valid JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.baseline import json_lines, text
from pytest_initcheck.baseline.layout import Branch, Layout, part
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.serialization import Fault

# 1: the first.
FORMAT = 1
_FILE = (part("format"), part("tests"))
Tests = dict[str, dict[str, Stored]]


def render(tests: Mapping[str, Mapping[str, Stored]]) -> str:
    """The file that holds these tests: entries by name, by test. Equal content, equal bytes."""
    return _lines(Layout().encode({"format": FORMAT, "tests": tests}), 0) + "\n"


def parse(content: str, file: str, command: str = "pytest --initcheck-update") -> Tests:
    """The tests in the text of a baseline file.

    ``file`` is what an error calls the file, ``command`` what it says regenerates it.

    Raises:
        BaselineError: the text is not a valid baseline of this format; the message names file and
            line, what is wrong there, and what to do.
    """
    data = text.load(content, file)
    try:
        _check_format(data, command)
        found = Layout().values(_FILE, data, ())["tests"]
        tests: Tests = Layout().decode(Tests, found, ("tests",))
    except Fault as fault:
        line = json_lines.line_of(content, fault.path)
        raise text.error_at(file, line, str(fault)) from None
    return tests


def _check_format(data: Any, command: str) -> None:
    if not isinstance(data, dict) or "format" not in data:
        raise Fault((), 'not a baseline: there is no field "format"')
    found = data["format"]
    if type(found) is not int or found != FORMAT:
        raise Fault(
            ("format",),
            f"has format {json.dumps(found)[:40]}, this version of pytest-initcheck reads format"
            f" {FORMAT}; regenerate it with: {command}",
        )


def _lines(value: Any, depth: int) -> str:
    if not isinstance(value, Branch) or not value:
        return json.dumps(value, sort_keys=True, ensure_ascii=False, allow_nan=False)
    indent = " " * (depth + 1)
    members = (
        f"{indent}{json.dumps(key, ensure_ascii=False)}: {_lines(value[key], depth + 1)}"
        for key in sorted(value)
    )
    return "{\n" + ",\n".join(members) + "\n" + " " * depth + "}"


def same_values(a: Stored, b: Stored) -> bool:
    """Whether two entries would be written alike, provenance aside."""
    mine, theirs = ({**Layout().encode(stored), "provenance": None} for stored in (a, b))
    return json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
