"""Everything that the tests of one run recorded, and the one place that writes it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pytest_initcheck import files
from pytest_initcheck.errors import BaselineError, InitcheckError
from pytest_initcheck.records import SessionRecord, TestRecord
from pytest_initcheck.serialization import decode, encode
from pytest_initcheck.session.provenance import now, provenance
from pytest_initcheck.session.recorder import Placed
from pytest_initcheck.session.settings import Settings

PASSED = ("passed", "xpassed")
MOST_IGNORES = 8
Place = tuple[str, int, str]


class SentRecord(NamedTuple):
    """What a test tells the controller: its record, the entries that its baseline has and it did
    not record, and whether a diagnosis has matched each ignore of its markers and the ini file."""

    test: TestRecord
    obsolete: tuple[str, ...] = ()
    ignores: Mapping[Placed, bool] = MappingProxyType({})


def to_text(
    test: TestRecord, obsolete: Sequence[str] = (), ignores: Mapping[Placed, bool] | None = None
) -> str:
    """What a test sends (see `SentRecord`), as the JSON string that travels on its report."""
    matched = [[*placed, is_matched] for placed, is_matched in (ignores or {}).items()]
    data = {"test": encode(test), "obsolete": list(obsolete), "ignores": matched}
    return json.dumps(data, allow_nan=False, separators=(",", ":"))


def from_text(text: str) -> SentRecord:
    """What ``to_text`` made a string of."""
    data = json.loads(text)
    ignores = {(origin, ignore): is_matched for origin, ignore, is_matched in data["ignores"]}
    return SentRecord(decode(TestRecord, data["test"]), tuple(data["obsolete"]), ignores)


@dataclass(kw_only=True)
class Session:
    """Collects the tests' records, decides about the baselines, and writes.

    ``faults`` are what could not be written, as readable lines; where there is one, the run as a
    whole has failed. ``notes`` are what the reader should know besides.
    """

    settings: Settings
    tests: dict[str, tuple[Place, TestRecord]] = field(default_factory=dict)
    obsolete: dict[str, tuple[str, ...]] = field(default_factory=dict)
    ignores: dict[str, Mapping[Placed, bool]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    started: str = field(default_factory=now)

    def add(
        self,
        test: TestRecord,
        place: Place | None = None,
        obsolete: Sequence[str] = (),
        ignores: Mapping[Placed, bool] | None = None,
    ) -> None:
        """Keep a test's record; ``place`` (file, line, name) gives its order in the report."""
        self.tests[test.nodeid] = (place or (test.nodeid, 0, ""), test)
        self.obsolete[test.nodeid] = tuple(obsolete)
        self.ignores[test.nodeid] = ignores or {}

    def record(self) -> SessionRecord:
        """The run as it will be written, tests in the order of their files and lines."""
        from pytest_initcheck.report import FORMAT

        tests = self._ordered()
        entries = [entry for test in tests for entry in test.entries]
        return SessionRecord(
            FORMAT, provenance(entries, self.started), tuple(tests), tuple(self.notes)
        )

    def _ordered(self) -> list[TestRecord]:
        return [test for _, test in sorted(self.tests.values(), key=lambda pair: _order(pair[0]))]

    def note_obsolete(self) -> None:
        """Note the baselines of entries that tests which passed do not record any more."""
        gone = [f"{nodeid}: {name!r}" for nodeid, names in self.obsolete.items() for name in names]
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            shown = ", ".join(sorted(gone)[:3])
            self.notes.append(
                f"baselines that no test records any more: {shown}{more}; "
                "--initcheck-update drops them"
            )

    def note_orphans(self, collected: Collection[str]) -> None:
        """Note the baselines of tests that are gone, where ``collected`` is all tests there are."""
        from pytest_initcheck.baseline import Baselines, living

        if self.settings.baselines is None or not collected:
            return
        try:
            listed = Baselines(self.settings.baselines, self.settings.root).listing()
        except BaselineError:  # Its own tests tell of it.
            return
        stored = dict.fromkeys(one.nodeid for one in listed)
        states = living.states(self.settings.root, stored, collected)
        gone = [nodeid for nodeid, state in states.items() if state == living.GONE]
        if gone:
            more = f" and {len(gone) - 3} more" if len(gone) > 3 else ""
            self.notes.append(
                f"baselines of tests that are gone: {', '.join(gone[:3])}{more}; "
                "initcheck baselines prune deletes them"
            )

    def note_elsewhere(self) -> None:
        """Note once how many records have a baseline that was made elsewhere, and what of it."""
        from pytest_initcheck.session.elsewhere import nearest_notes, rounding_notes

        tests = self._ordered()
        self.notes += rounding_notes(tests)
        if not self.settings.update:
            self.notes += nearest_notes(tests)

    def note_unused_ignores(self) -> None:
        """Note the ignores of markers and ini file that no diagnosis of the run has matched."""
        matched: dict[Placed, bool] = {}
        for ignores in self.ignores.values():
            for placed, is_matched in ignores.items():
                matched[placed] = matched.get(placed, False) or is_matched
        unused = sorted(placed for placed, is_matched in matched.items() if not is_matched)
        self.notes += [
            f"the ignore '{ignore}' of {origin} matches nothing in this run; remove it if no "
            "other run needs it"
            for origin, ignore in unused[:MOST_IGNORES]
        ]
        if len(unused) > MOST_IGNORES:
            self.notes.append(f"{len(unused) - MOST_IGNORES} more ignores match nothing either")

    def update_baselines(self) -> None:
        """Write the baselines of the tests that passed, and note what that changed."""
        from pytest_initcheck.baseline import Baselines

        assert self.settings.baselines is not None
        chosen = [test for test in self._ordered() if self._has_baselines(test)]
        passed = [test for test in chosen if test.outcome in PASSED]
        entries = [entry for test in passed for entry in test.entries]
        try:
            done = Baselines(self.settings.baselines, self.settings.root).update(
                passed,
                provenance(entries),
                self.settings.allow_unhealthy,
                only_new=self.settings.update == "new",
            )
        except Exception as error:  # No record may cost the session its end.
            kept = "; once that is mended: initcheck baselines accept"
            known = kept if self.settings.last_run is not None else ""
            self.faults.append(f"baselines not written: {reason(error)}{known}")
            return
        self.faults += [f"baseline not written: {refused}" for refused in done.refused]
        self.notes.append(_update_note(done.counts, self.settings))
        self.notes += [f"stored, but {doubt}" for doubt in done.doubts]
        if done.converted:
            files = ", ".join(path.name for path in done.converted)
            self.notes.append(
                f"written in the present, shorter format, with the values that they had: {files}"
            )
        left = len(chosen) - len(passed)
        if left:
            tests = "1 test" if left == 1 else f"{left} tests"
            self.notes.append(f"baselines left as they are: {tests} did not pass")

    def _has_baselines(self, test: TestRecord) -> bool:
        # Entries that were not compared belong to a test that has the comparison switched off.
        compared = any(entry.comparison is not None for entry in test.entries)
        return compared or bool(self.obsolete.get(test.nodeid))

    def write_report(self, path: Path) -> Path | None:
        """Write the HTML and ``run.json`` beside it; what prevents that becomes a fault."""
        from pytest_initcheck.report import write

        try:
            return write(self.record(), path)
        except InitcheckError as error:
            self.faults.append(f"report not written: {error}")
        except Exception as error:  # A fault of the renderer must not cost the tests' results.
            self.faults.append(f"report not written: {path}: {reason(error)}")
        return None

    def keep(self, path: Path) -> None:
        """Write ``run.json`` alone, where the commands look for the last run."""
        from pytest_initcheck.report.write import run_json

        try:
            files.replace(path, run_json(self.record()))
        except (InitcheckError, OSError) as error:
            self.notes.append(f"the last run is not kept in {path}: {reason(error)}")


def _order(place: Place) -> tuple[str, int, list[str | int]]:
    # "test[2]" before "test[10]": digits are in every second place.
    parts = re.split(r"(\d+)", place[2])
    return (*place[:2], [int(part) if i % 2 else part for i, part in enumerate(parts)])


def reason(error: Exception) -> str:
    """Why something could not be written, in a line."""
    if isinstance(error, InitcheckError):
        return str(error)
    reason = error.strerror if isinstance(error, OSError) else None
    return reason or f"{type(error).__name__}: {error}"


def _update_note(counts: Counter[str], settings: Settings) -> str:
    told = ", ".join(f"{counts[effect]} {effect}" for effect in ("created", "updated", "unchanged"))
    more = [f"{counts[effect]} {effect}" for effect in ("dropped", "refused") if counts[effect]]
    folder = settings.baselines
    if folder is not None and folder.is_relative_to(settings.root):
        folder = folder.relative_to(settings.root)
    return f"baselines in {folder}: {', '.join([told, *more])}"
