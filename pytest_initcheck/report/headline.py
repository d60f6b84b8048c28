"""The session in one sentence, and in a quieter one what else there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pytest_initcheck.records import Entry, SessionRecord, TestRecord
from pytest_initcheck.report import summary

# What fails, by the kind of the entry: one of them, several of them.
_FAILS = {
    "run": ("run misses its target", "runs miss their targets"),
    "sweep": ("run misses its target", "runs miss their targets"),
    "escape": ("start does not escape", "starts do not escape"),
    "step": ("training step is broken", "training steps are broken"),
    "critical point": ("model is stuck", "models are stuck"),
}
_MODEL = ("model cannot learn", "models cannot learn")
_BASELINES = {
    "changed": ("baseline changed", "baselines changed"),
    "unreadable": ("baseline is unreadable", "baselines are unreadable"),
    "missing": ("baseline is missing", "baselines are missing"),
}
_TESTS = {
    "crashed": ("test crashed", "tests crashed"),
    "error": ("test has an error", "tests have errors"),
    "failed": ("test fails by its own assertions", "tests fail by their own assertions"),
}


def baseline_fault(entry: Entry) -> str:
    """The status of a comparison that somebody has to act on; empty where there is none."""
    status = entry.comparison.status if entry.comparison else ""
    # That one is missing is no news where no update would store what is not healthy.
    is_refused = status == "missing" and summary.entry_state(entry) == "fail"
    return status if status in _BASELINES and not is_refused else ""


def has_problem(test: TestRecord) -> bool:
    """Whether somebody has to act on the test."""
    return summary.is_bad(test) or any(
        summary.entry_state(entry) == "fail" or baseline_fault(entry) for entry in test.entries
    )


def sentence(session: SessionRecord) -> str:
    """ "8 models cannot learn, 1 baseline changed", or that all tests passed."""
    told = [
        f"{count} {one if count == 1 else more}" for (one, more), count in _faults(session).items()
    ]
    if told:
        return ", ".join(told)
    if not session.tests:
        return "No test recorded anything"
    outcomes = summary.outcome_counts(session)
    n = outcomes.get("passed", 0)
    if n == len(session.tests):
        return f"All {n} tests passed" if n > 1 else "The test passed"
    return "Nothing to act on: " + ", ".join(f"{count} {key}" for key, count in outcomes.items())


def _faults(session: SessionRecord) -> Counter[tuple[str, str]]:
    """What somebody has to act on, by its words for one and for several, worst first."""
    found: Counter[tuple[str, str]] = Counter()
    own: Counter[tuple[str, str]] = Counter()
    for test in session.tests:
        mine = list(_of_entries(test))
        found.update(mine)
        if not mine and test.outcome in _TESTS:
            own[_TESTS[test.outcome]] += 1
    order = [_MODEL, *_FAILS.values(), *_BASELINES.values()]
    ranked = Counter({words: found[words] for words in dict.fromkeys(order) if found[words]})
    return ranked + own


def _of_entries(test: TestRecord) -> Iterator[tuple[str, str]]:
    for entry in test.entries:
        if summary.entry_state(entry) == "fail":
            yield _FAILS.get(entry.kind, _MODEL)
        if status := baseline_fault(entry):
            yield _BASELINES[status]


def aside(session: SessionRecord) -> str:
    """The outcomes, and what needs no action: expected faults, ignored findings, warnings."""
    if not session.tests:
        return ""
    n = len(session.tests)
    outcomes = ", ".join(f"{count} {key}" for key, count in summary.outcome_counts(session).items())
    told = [f"{n} test{'s' if n != 1 else ''}: {outcomes}"]
    states = [summary.entry_state(entry) for test in session.tests for entry in test.entries]
    counts = {
        "expected fault": states.count(summary.EXPECTED),
        "ignored finding": summary.ignored_count(session),
        "warning": states.count("warn"),
    }
    told += [f"{count} {what}{'s' if count > 1 else ''}" for what, count in counts.items() if count]
    return " · ".join(told)
