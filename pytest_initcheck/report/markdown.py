"""A session in Markdown, as a CI shows it beside the job: counts, what failed, what changed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from pytest_initcheck.records import SessionRecord
from pytest_initcheck.report import summary
from pytest_initcheck.report.looks import seeds_text
from pytest_initcheck.report.problems import Problem, problems

MOST_ROWS = 30
MOST_DIFFERENCES = 3
_WIDTH = 200
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~$@-])")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def markdown(session: SessionRecord, report_path: str | os.PathLike[str] | None = None) -> str:
    """The summary, with a line break at either end, so that it can follow another.

    Whatever a user, a test or a file has named is escaped.
    """
    parts = ["### initcheck", *_counts(session), *_health(session), *_baselines(session)]
    if session.notes:
        parts.append(
            "\n".join(["#### Notes", "", *(f"- {escaped(note)}" for note in session.notes)])
        )
    if report_path is not None:
        parts.append(f"Report: {escaped(os.fspath(report_path))}")
    return "\n" + "\n\n".join(parts) + "\n"


def escaped(text: str, width: int = _WIDTH) -> str:
    """The text on one line, with nothing in it that Markdown or HTML would read."""
    line = summary.printable(summary.shorten(text, width))
    line = "".join(_ENTITIES.get(character, character) for character in line)
    return _SPECIAL.sub(r"\\\1", line)


def _counts(session: SessionRecord) -> Iterator[str]:
    if not any(test.entries for test in session.tests):
        yield "No test recorded anything."
        return
    outcomes = summary.in_words(summary.outcome_counts(session), summary.NONE)
    health = summary.in_words(summary.state_counts(session), "not judged")
    baselines = summary.in_words(summary.status_counts(session), "not compared")
    rows = [("tests", outcomes), ("health", health), ("baselines", baselines)]
    ignored = summary.ignored_count(session)
    if ignored:
        rows.append(("ignored", f"{ignored} finding{'s' if ignored > 1 else ''}"))
    if seeds := seeds_text(session):
        rows.append(("seeds", seeds))
    yield _table(("", ""), rows)


def _health(session: SessionRecord) -> Iterator[str]:
    failed = [p for p in problems(session) if p.finding and p.level == "error" and not p.ignored]
    if failed:
        rows = [_finding_row(problem) for problem in failed[:MOST_ROWS]]
        head = ("rule", "layer", "measured", "remedy", "test")
        yield "#### Failed health\n\n" + _table(head, rows) + _more(len(failed), "finding")


def _finding_row(problem: Problem) -> tuple[str, ...]:
    finding = problem.finding
    assert finding is not None
    rule = f"{finding.id} {finding.check}"
    return (rule, finding.layer or "model", finding.numbers, finding.remedy, problem.test.nodeid)


def _baselines(session: SessionRecord) -> Iterator[str]:
    found = [problem for problem in problems(session) if problem.finding is None]
    if found:
        rows = [row for problem in found[:MOST_ROWS] for row in _difference_rows(problem)]
        head = ("record", "what", "actual", "baseline", "allowed", "times", "test")
        yield (
            "#### Baselines that do not fit\n\n" + _table(head, rows) + _more(len(found), "record")
        )


def _difference_rows(problem: Problem) -> Iterator[tuple[str, ...]]:
    comparison = problem.entry.comparison
    assert comparison is not None
    name, nodeid = problem.entry.name, problem.test.nodeid
    if not comparison.differences:
        yield (name, comparison.status, "", "", "", "", nodeid)
    for one in comparison.differences[:MOST_DIFFERENCES]:
        yield (name, one.key, one.actual, one.expected, one.allowed, f"{one.excess:.3g}", nodeid)
    left = len(comparison.differences) - MOST_DIFFERENCES
    if left > 0:
        yield (name, f"and {left} more", "", "", "", "", nodeid)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _more(count: int, what: str) -> str:
    left = count - MOST_ROWS
    return f"\n\nand {left} more {what}{'s' if left > 1 else ''}" if left > 0 else ""
