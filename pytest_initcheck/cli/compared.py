"""The tests of a stored run, held against the baselines as they are now, or against a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pytest_initcheck.baseline import Stored
from pytest_initcheck.records import Comparison, Entry, RunRecord, TestRecord
from pytest_initcheck.session.provenance import device_of
from pytest_initcheck.session.settings import Settings, tolerances_of

_PASSED = ("passed", "xpassed")


class Known(Protocol):
    """What a run is held against: `Baselines`, or an earlier run."""

    def path(self, nodeid: str) -> Path:
        """The file that holds what is known of the test."""
        ...

    def entries(self, nodeid: str) -> tuple[str, ...]:
        """The names that are known of the test."""
        ...

    def stored(self, nodeid: str, entry_name: str) -> Stored | None:
        """What is known under that name; None where nothing is."""
        ...

    def compare(
        self, nodeid: str, entry_name: str, record: RunRecord, **options: Any
    ) -> Comparison:
        """The record held against what is known; "missing" where nothing is."""
        ...


def comparisons(
    known: Known, test: TestRecord, settings: Settings
) -> Iterator[tuple[str, Comparison]]:
    """Every entry of a test with its comparison; those that it records no more are obsolete."""
    for entry in test.entries:
        yield entry.name, _comparison(known, test.nodeid, entry, settings)
    if test.outcome in _PASSED:
        recorded = {entry.name for entry in test.entries}
        for name in known.entries(test.nodeid):
            if name not in recorded:
                yield name, Comparison(status="obsolete", file=str(known.path(test.nodeid)))


def _comparison(known: Known, nodeid: str, entry: Entry, settings: Settings) -> Comparison:
    stored, found = known.stored(nodeid, entry.name), entry.comparison
    # The marker's tolerances are only in what the test found itself; that holds for these numbers.
    if stored and found and found.expected == stored.expected():
        return found
    more = tolerances_of(settings)
    return known.compare(nodeid, entry.name, entry.record, device=device_of(entry), **more)
