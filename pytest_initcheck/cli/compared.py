"""The tests of a stored run, held against the baselines as they are now."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pytest_initcheck.baseline import Baselines, Environment
from pytest_initcheck.records import Comparison, Entry, TestRecord
from pytest_initcheck.session.provenance import device_among

_PASSED = ("passed", "xpassed")


def comparisons(
    baselines: Baselines, test: TestRecord, provenance: Mapping[str, str]
) -> Iterator[tuple[str, Comparison]]:
    """Every entry of a test with its comparison; those that it records no more are obsolete.

    ``provenance`` is that of the run.
    """
    for entry in test.entries:
        yield entry.name, _comparison(baselines, test.nodeid, entry, provenance)
    if test.outcome in _PASSED:
        recorded = {entry.name for entry in test.entries}
        for name in baselines.entries(test.nodeid, device_among(test.entries)):
            if name not in recorded:
                yield name, Comparison(status="obsolete", file=str(baselines.path(test.nodeid)))


def _comparison(
    baselines: Baselines, nodeid: str, entry: Entry, provenance: Mapping[str, str]
) -> Comparison:
    environment = Environment.of(entry.record, provenance)
    stored = baselines.stored(nodeid, entry.name, environment)
    known = entry.comparison
    # The test's own tolerances are only in what it found itself; that holds for this baseline.
    if stored and known and known.expected == stored.expected():
        return known
    return baselines.compare(nodeid, entry.name, entry.record, provenance=provenance)
