"""Workflow commands by which GitHub Actions marks the lines of a pull request.

Their form and what has to be escaped in them: actions/toolkit, packages/core/src/command.ts.
"""

from __future__ import annotations

from collections.abc import Mapping

from pytest_initcheck.records import SessionRecord
from pytest_initcheck.report import summary
from pytest_initcheck.report.problems import Places, Problem, problems

# GitHub shows ten of each kind and step, and drops the others without a word.
MOST = 10
_WIDTH = 1000


def annotation_lines(session: SessionRecord, places: Places) -> list[str]:
    """A line for each failed health and each baseline that does not fit, then how many are left.

    An error that no failed test stands for is a warning.
    """
    found = [p for p in problems(session) if p.level == "error" and not p.ignored]
    found.sort(key=lambda problem: not summary.is_bad(problem.test))
    lines = [_annotation(problem, places) for problem in found[:MOST]]
    left = len(found) - MOST
    if left > 0:
        text = f"and {left} more finding{'s' if left > 1 else ''} or changed baselines"
        lines.append(_command("notice", {"title": "initcheck"}, text))
    return lines


def _annotation(problem: Problem, places: Places) -> str:
    kind = "error" if summary.is_bad(problem.test) else "warning"
    place = places.get(problem.test.nodeid)
    where = {} if place is None else {"file": place.file, "line": str(place.line)}
    title = f"{problem.rule} in {problem.test.nodeid}"
    return _command(kind, {**where, "title": title}, problem.text)


def _command(kind: str, properties: Mapping[str, str], text: str) -> str:
    told = ",".join(f"{key}={_property(value)}" for key, value in properties.items())
    return f"::{kind} {told}::{_data(summary.shorten(text, _WIDTH))}"


def _data(text: str) -> str:
    safe = summary.printable(text)
    return safe.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
