"""The text of a baseline file: one line per tensor, metric or curve, keys sorted, valid JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pytest_initcheck.baseline import json_lines, text
from pytest_initcheck.baseline.layout import Branch, Layout, part
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.serialization import Fault

# 1: the first.
FORMAT = 1
_FILE = (part("format"), replace(part("path", str), is_required=False), part("tests"))
Tests = dict[str, dict[str, Stored]]


class Content(NamedTuple):
    """What a file holds: entries by name, by test; and whose tests these are, if it says so."""

    tests: Tests
    path: str = ""


def render(tests: Mapping[str, Mapping[str, Stored]], path: str = "") -> str:
    """The file that holds these tests of ``path``. Equal content, equal bytes."""
    head = {"format": FORMAT, **({"path": path} if path else {})}
    return _lines(Layout().encode({**head, "tests": tests}), 0) + "\n"


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
        _check_format(data)
        found = Layout().values(_FILE, data, ())
        tests: Tests = Layout().decode(Tests, found["tests"], ("tests",))
    except Fault as fault:
        line = json_lines.line_of(content, fault.path)
        raise text.error_at(file, line, str(fault)) from None
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise text.error_at(file, 1, f"holds numbers that are out of all bounds: {error}") from None
    return Content(tests, found.get("path", ""))


def _check_format(data: Any) -> None:
    if not isinstance(data, dict) or "format" not in data:
        raise Fault((), 'not a baseline: there is no field "format"')
    found = data["format"]
    if type(found) is not int or found != FORMAT:
        raise Fault(
            ("format",),
            f"has format {json.dumps(found)[:40]}, this version of pytest-initcheck reads format"
            f" {FORMAT}; it was written by another version: install that, or take the file from"
            " version control as it was",
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
