"""What a reviewer should see of a session: findings, and records that their baselines lack."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pytest_initcheck.records import Comparison, Entry, Finding, SessionRecord, TestRecord
from pytest_initcheck.report import summary

Level = Literal["error", "warning", "note"]
LEVELS: dict[str, Level] = {"error": "error", "warning": "warning", "info": "note"}
# The states of a comparison that fail a test, and the rule that stands for each.
BASELINE_RULES = {
    "changed": ("baseline-changed", "a record is not as in its baseline"),
    "missing": ("baseline-missing", "a record has no baseline"),
    "unreadable": ("baseline-unreadable", "a baseline cannot be read"),
}


class Place(NamedTuple):
    """File and line of a test; the file is relative to the root of the repository."""

    file: str
    line: int


Places = Mapping[str, Place]


@dataclass(frozen=True)
class Problem:
    """One finding, or one comparison that does not fit; ``ignored`` is why it does not count."""

    test: TestRecord
    entry: Entry
    rule: str
    level: Level
    text: str
    finding: Finding | None = None
    ignored: str = ""

    @property
    def layer(self) -> str:
        """The layer that it is about; empty where it is the model or the record as a whole."""
        return self.finding.layer if self.finding is not None else ""


def problems(session: SessionRecord) -> list[Problem]:
    """All of a session, in the order of its tests; those of ignored findings, too."""
    return [
        problem for test in session.tests for entry in test.entries for problem in _of(test, entry)
    ]


def _of(test: TestRecord, entry: Entry) -> list[Problem]:
    found = [_finding(test, entry, finding) for finding in (*entry.findings, *entry.ignored)]
    comparison = entry.comparison
    if comparison is not None and _misfits(entry, comparison):
        rule, _ = BASELINE_RULES[comparison.status]
        text = _text(f"{entry.name}: {changed(comparison)}")
        found.append(Problem(test, entry, rule, "error", text))
    return found


def _misfits(entry: Entry, comparison: Comparison) -> bool:
    # No update stores what is not healthy: that it is missing follows from the findings.
    follows = comparison.status == "missing" and entry.verdict == "fail"
    return comparison.status in BASELINE_RULES and not follows


def _finding(test: TestRecord, entry: Entry, finding: Finding) -> Problem:
    where = f"layer {finding.layer!r}" if finding.layer else "model"
    told = f"{where}: {finding.numbers}: {finding.cause}"
    text = _text(f"{told}; fix: {finding.remedy}" if finding.remedy else told)
    level = LEVELS[finding.severity]
    why = finding.ignored or (f"expected: {entry.expected}" if entry.expected else "")
    return Problem(test, entry, finding.id, level, text, finding, why)


def rerun_command(nodeid: str) -> str:
    """The command that runs a test of pytest again, or a check of the command line."""
    runs = "pytest" if "::" in nodeid or ".py" in nodeid else "initcheck check"
    return f"{runs} {shlex.quote(nodeid)}"


def _text(text: str) -> str:
    return summary.printable(summary.clean(text))


def changed(comparison: Comparison) -> str:
    """How a comparison stands, in a line: the worst difference, or why there is none."""
    if comparison.status == "unreadable":
        return f"baseline unreadable: {comparison.notes[0]}" if comparison.notes else "unreadable"
    if not comparison.differences:
        return f"baseline {comparison.status}"
    first, more = comparison.differences[0], len(comparison.differences) - 1
    text = f"baseline changed: {first.key} {first.actual}, expected {first.expected}"
    return text + (f" and {more} more" if more else "")
