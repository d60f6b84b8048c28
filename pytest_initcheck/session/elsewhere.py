"""Baselines that were made elsewhere: what differs by rounding, and what has none of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry, TestRecord
from pytest_initcheck.session.provenance import device_of, provenance, version

# What makes the same program give other last digits, by the name under which provenance has it.
CAUSES = ("torch", "python", "device")
_MOST_CAUSES = 3
Cause = tuple[str, str]


def rounding_notes(tests: Iterable[TestRecord]) -> list[str]:
    """One line for all such records that have one cause, those of the most records first."""
    versions = provenance()
    counts: Counter[Cause] = Counter()
    for entry in (entry for test in tests for entry in test.entries):
        cause = _cause(entry, versions)
        if cause is not None and _differs_by_rounding(entry):
            counts[cause] += 1
    return [_note(count, *cause) for cause, count in counts.most_common(_MOST_CAUSES)]


def nearest_notes(tests: Iterable[TestRecord]) -> list[str]:
    """One line for all records that another environment's baseline was taken for.

    What is equal all the same, or differs by rounding, is not counted.
    """
    counts: Counter[Cause] = Counter()
    for entry in (entry for test in tests for entry in test.entries):
        known = entry.comparison
        is_elsewhere = known and known.environment and known.bit_identical is None
        if known and is_elsewhere and not known.is_identical and not _differs_by_rounding(entry):
            counts[known.environment, _environment(entry)] += 1
    return [
        f"{count} {'record is' if count == 1 else 'records are'} compared with baselines of "
        f"{other}, as there are none of {own}; --initcheck-update adds those"
        for (other, own), count in counts.most_common(_MOST_CAUSES)
    ]


def _environment(entry: Entry) -> str:
    from pytest_initcheck.baseline import Environment

    return str(Environment.of(entry.record, {"torch": version("torch")}))


def _cause(entry: Entry, versions: Mapping[str, str]) -> Cause | None:
    if entry.comparison is None:
        return None
    was = entry.comparison.provenance
    now = {**versions, "device": device_of(entry) or ""}
    other = [key for key in CAUSES if was.get(key) and now[key] and not _agree(was[key], now[key])]
    return (_named(was, other), _named(now, other)) if other else None


def _agree(was: str, now: str) -> bool:
    # A baseline of several records names all their devices.
    if now in was.split(", "):
        return True
    # A process that has not imported torch does not see the build in its version.
    (before, _, build), (after, _, other) = was.partition("+"), now.partition("+")
    return before == after and not (build and other)


def _named(known: Mapping[str, str], keys: Iterable[str]) -> str:
    return ", ".join(f"{key} {known[key]}" for key in keys)


def _differs_by_rounding(entry: Entry) -> bool:
    # What compares is imported where there is something to compare.
    from pytest_initcheck.baseline.judge import ATOL, RTOL

    return not _is_within(entry, 0.0, 0.0) and _is_within(entry, RTOL, ATOL)


def _is_within(entry: Entry, rtol: float, atol: float) -> bool:
    from pytest_initcheck.baseline import compare

    expected = entry.comparison.expected if entry.comparison is not None else None
    if expected is None:
        return False
    try:
        return compare(entry.record, expected, rtol=rtol, atol=atol).status == "match"
    except (InitcheckError, ArithmeticError):  # Its own comparison has told of it.
        return False


def _note(count: int, was: str, now: str) -> str:
    differ = (
        "record differs from its baseline" if count == 1 else "records differ from their baselines"
    )
    return f"{count} {differ} by rounding, recorded with {was}, now {now}"
