"""Counts and order shared by the terminal and the page: two axes, worst first."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pytest_initcheck.records import RANK, Entry, Finding, SessionRecord, TestRecord

VERDICTS = ("fail", "warn", "pass")
# Verdicts, with the faults that a test expects apart: only "fail" is for a person to act on.
EXPECTED = "expected"
STATES = ("fail", "warn", EXPECTED, "pass")
STATUSES = ("unreadable", "changed", "missing", "new", "obsolete", "match")
NONE = "none"
BAD_OUTCOMES = ("crashed", "error", "failed")
_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


@dataclass(frozen=True)
class Located:
    """A finding with the test and the entry that it came from."""

    test: TestRecord
    entry: Entry
    finding: Finding


def worst(values: Iterable[str | None], order: Sequence[str]) -> str:
    """The value that comes first in ``order``; "none" where there is none of them."""
    there = set(values)
    return next((value for value in order if value in there), NONE)


def test_verdict(test: TestRecord) -> str:
    """The worst health verdict of the test's entries, or "none"."""
    return worst((entry.verdict for entry in test.entries), VERDICTS)


def entry_state(entry: Entry) -> str:
    """The entry's verdict; "expected" where all of its errors are expected or ignored."""
    is_ignored = any(finding.severity == "error" for finding in entry.ignored)
    if (entry.verdict == "fail" and entry.expected) or (entry.verdict == "pass" and is_ignored):
        return EXPECTED
    return entry.verdict or NONE


def test_state(test: TestRecord) -> str:
    """The worst state of the test's entries, or "none"."""
    return worst(map(entry_state, test.entries), STATES)


def test_status(test: TestRecord) -> str:
    """The worst baseline comparison of the test's entries, or "none"."""
    found = (entry.comparison.status for entry in test.entries if entry.comparison)
    return worst(found, STATUSES)


def is_bad(test: TestRecord) -> bool:
    """Whether pytest counts the test as failed."""
    return test.outcome in BAD_OUTCOMES


def tally(values: Iterable[str], order: Sequence[str]) -> dict[str, int]:
    """How often each value occurs: those of ``order`` first, then "none" and any other."""
    counts = dict.fromkeys(order, 0)
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def in_words(counts: Mapping[str, int], none: str) -> str:
    """ "1 fail, 3 pass, 2 not judged": without what does not occur, "none" as ``none``."""
    told = (f"{count} {none if key == NONE else key}" for key, count in counts.items() if count)
    return ", ".join(told)


def state_counts(session: SessionRecord) -> dict[str, int]:
    """How many tests have each state of health."""
    return tally(map(test_state, session.tests), STATES)


def status_counts(session: SessionRecord) -> dict[str, int]:
    """How many tests have each baseline status."""
    return tally(map(test_status, session.tests), STATUSES)


def bits_in_a_word(session: SessionRecord) -> str:
    """Whether the records that match are equal bit for bit, where the environment is the same."""
    compared = (entry.comparison for test in session.tests for entry in test.entries)
    said = [c.bit_identical for c in compared if c and c.status == "match"]
    if True not in said:
        return ""
    return "bit-identical" if all(said) else f"{said.count(True)} of {len(said)} bit-identical"


def outcome_counts(session: SessionRecord) -> dict[str, int]:
    """How many tests have each outcome of pytest, without those that do not occur."""
    counts = tally((test.outcome for test in session.tests), (*BAD_OUTCOMES, "passed", "skipped"))
    return {key: count for key, count in counts.items() if count}


def worst_findings(session: SessionRecord) -> list[Located]:
    """All findings that no test expects: those of failed tests first, then by severity."""
    found = [
        Located(test, entry, finding)
        for test in session.tests
        for entry in test.entries
        if not entry.expected
        for finding in entry.findings
        if finding.severity != "info"
    ]
    found.sort(key=lambda f: (not is_bad(f.test), RANK[f.finding.severity]))
    return found


def ignored_count(session: SessionRecord) -> int:
    """How many findings are ignored."""
    return sum(len(entry.ignored) for test in session.tests for entry in test.entries)


def clean(text: str) -> str:
    """The text without terminal colours; other control characters become visible."""
    if text.isprintable():
        return text
    plain = _ANSI.sub("", text).replace("\r\n", "\n")
    return "".join(
        c if c in "\n\t" or (ord(c) >= 32 and ord(c) != 127) else "\N{REPLACEMENT CHARACTER}"
        for c in plain
    )


def printable(text: str) -> str:
    """The text without what UTF-8 cannot hold, which is escaped."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def shorten(text: str, width: int, keep: float = 0.5) -> str:
    """The text on one line of at most ``width`` characters; ``keep`` is the head's share."""
    line = " ".join(clean(text).split())
    if len(line) <= width:
        return line
    head = int((width - 1) * keep)
    return f"{line[:head]}…{line[len(line) - (width - 1 - head) :]}"
