"""Everything that the tests of one run recorded, and the one place that writes it."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_initcheck.errors import BaselineError, InitcheckError
from pytest_initcheck.records import Comparison, Entry, SessionRecord, TestRecord, decode, encode
from pytest_initcheck.session.provenance import device_of, now, provenance
from pytest_initcheck.settings import Settings

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baselines

PASSED = ("passed", "xpassed")
Place = tuple[str, int, str]


def to_text(test: TestRecord) -> str:
    """A test's record as the JSON string that travels on its report."""
    return json.dumps(encode(test), allow_nan=False, separators=(",", ":"))


def from_text(text: str) -> TestRecord:
    """The record that ``to_text`` made a string of."""
    return decode(TestRecord, json.loads(text))


@dataclass
class Session:
    """Collects the tests' records, decides about the baselines, and writes.

    ``faults`` are what could not be written, as readable lines; where there is one, the run as a
    whole has failed. ``notes`` are what the reader should know besides.
    """

    settings: Settings
    tests: dict[str, tuple[Place, TestRecord]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    started: str = field(default_factory=now)

    def add(self, test: TestRecord, place: Place | None = None) -> None:
        """Keep a test's record; ``place`` (file, line, name) gives its order in the report."""
        self.tests[test.nodeid] = (place or (test.nodeid, 0, ""), test)

    def record(self) -> SessionRecord:
        """The run as it will be written, tests in the order of their files and lines."""
        from pytest_initcheck.report import FORMAT

        tests = self._ordered()
        entries = [entry for test in tests for entry in test.entries]
        return SessionRecord(
            FORMAT, provenance(entries, self.started), tuple(tests), tuple(self.notes)
        )

    def _ordered(self) -> list[TestRecord]:
        return [test for _, test in sorted(self.tests.values(), key=lambda pair: pair[0])]

    def update_baselines(self) -> None:
        """Write the baselines of the tests that passed, and note what that changed."""
        from pytest_initcheck.baseline import Baselines

        assert self.settings.baselines is not None
        left = [test for test in self._ordered() if test.outcome not in PASSED]
        try:
            passed = self._classified(Baselines(self.settings.baselines))
            entries = [entry for test in passed for entry in test.entries]
            Baselines(self.settings.baselines).update(passed, provenance(entries))
        except (InitcheckError, OSError) as error:
            self.faults.append(f"baselines not written: {error}")
            return
        self.notes.append(_update_note(passed, self.settings.baselines))
        if left:
            self.notes.append(
                f"baselines left as they are: {len(left)} test{'s' * (len(left) > 1)} did not pass"
            )

    def _classified(self, baselines: Baselines) -> list[TestRecord]:
        passed = []
        for key, (place, test) in self.tests.items():
            if test.outcome in PASSED:
                entries = tuple(_held_against(baselines, test.nodeid, e) for e in test.entries)
                test = dataclasses.replace(test, entries=entries)
                self.tests[key] = (place, test)
                passed.append(test)
        return passed

    def write_report(self, path: Path) -> Path | None:
        """Write the HTML and ``run.json`` beside it; what prevents that becomes a fault."""
        from pytest_initcheck.report import write

        try:
            return write(self.record(), path)
        except InitcheckError as error:
            self.faults.append(f"report not written: {error}")
        except OSError as error:
            self.faults.append(f"report not written: {path}: {_reason(error)}")
        return None

    def keep(self, path: Path) -> None:
        """Write ``run.json`` alone, where the commands look for the last run."""
        from pytest_initcheck.report.write import replace_file, run_json

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, run_json(self.record()))
        except (InitcheckError, OSError) as error:
            self.notes.append(f"the last run is not kept in {path}: {_reason(error)}")


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or str(error)


def _held_against(baselines: Baselines, nodeid: str, entry: Entry) -> Entry:
    try:
        found = baselines.compare(nodeid, entry.name, entry.record, device=device_of(entry))
    except BaselineError as error:
        found = Comparison("missing", notes=(str(error),))
    if found.status == "missing":
        found = dataclasses.replace(found, status="new")
    return dataclasses.replace(entry, comparison=found)


def _update_note(tests: Iterable[TestRecord], folder: Path) -> str:
    status = Counter(e.comparison.status for t in tests for e in t.entries if e.comparison)
    created, same = status["new"], status["match"]
    updated = status.total() - created - same
    return f"baselines in {folder}: {created} created, {updated} updated, {same} unchanged"
