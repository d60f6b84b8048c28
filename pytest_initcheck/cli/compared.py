"""The tests of a stored run, held against the baselines as they are now, or against a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from pytest_initcheck.baseline import Environment, Stored
from pytest_initcheck.records import Comparison, Entry, RunRecord, TestRecord
from pytest_initcheck.session.provenance import device_among
from pytest_initcheck.session.settings import Settings, tolerances_of

_PASSED = ("passed", "xpassed")


class Known(Protocol):
    """What a run is held against: `Baselines`, or an earlier run."""

    def path(self, nodeid: str) -> Path:
        """The file that holds what is known of the test."""
        ...

    def entries(self, nodeid: str, device: str = "") -> tuple[str, ...]:
        """The names that are known of the test, on that kind of device if one is given."""
        ...

    def stored(self, nodeid: str, entry_name: str, environment: Environment) -> Stored | None:
        """What is known under that name of the nearest environment; None where nothing is."""
        ...

    def compare(
        self,
        nodeid: str,
        entry_name: str,
        record: RunRecord,
        *,
        provenance: Mapping[str, str],
        **options: Any,
    ) -> Comparison:
        """The record held against what is known; "missing" where nothing is."""
        ...


def comparisons(
    known: Known,
    test: TestRecord,
    settings: Settings,
    provenance: Mapping[str, str],
    *,
    is_baseline: bool = True,
) -> Iterator[tuple[str, Comparison]]:
    """Every entry of a test with its comparison; those that it records no more are obsolete.

    ``provenance`` is that of the run. What the test itself found holds where ``known`` is the
    baseline, unchanged since.
    """
    for entry in test.entries:
        own = entry.comparison if is_baseline else None
        yield entry.name, _comparison(known, test.nodeid, entry, own, settings, provenance)
    if test.outcome in _PASSED:
        recorded = {entry.name for entry in test.entries}
        for name in known.entries(test.nodeid, device_among(test.entries)):
            if name not in recorded:
                yield name, Comparison(status="obsolete", file=str(known.path(test.nodeid)))


def _comparison(
    known: Known,
    nodeid: str,
    entry: Entry,
    own: Comparison | None,
    settings: Settings,
    provenance: Mapping[str, str],
) -> Comparison:
    environment = Environment.of(entry.record, provenance)
    stored = known.stored(nodeid, entry.name, environment)
    # The marker's tolerances are only in what the test found itself; that holds for these numbers.
    if stored and own and own.expected == stored.expected():
        return own
    more = tolerances_of(settings)
    return known.compare(nodeid, entry.name, entry.record, provenance=provenance, **more)
