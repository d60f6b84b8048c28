"""The folder of baselines: one file per test file, at the same path below it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pytest_initcheck.baseline import files, format, text
from pytest_initcheck.baseline.compare import compare
from pytest_initcheck.baseline.describe import command
from pytest_initcheck.baseline.format import Tests
from pytest_initcheck.baseline.stored import Stored, freeze
from pytest_initcheck.errors import BaselineError
from pytest_initcheck.records import Comparison, Entry, RunRecord, TestRecord

_PASSED = ("passed", "xpassed")


@dataclass(frozen=True)
class Listed:
    """One stored entry: its file, the test's nodeid, the entry's name, and what recorded it."""

    file: Path
    nodeid: str
    entry: str
    stored: Stored


class Baselines:
    """The baselines below ``directory``. Files are read when needed, and written on request."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = Path(directory)
        self._read: dict[Path, Tests] = {}

    def path(self, nodeid: str) -> Path:
        """The file that holds the test's baselines, "suites/test_a.py::…" in suites/test_a.json."""
        file = PurePosixPath(nodeid.partition("::")[0].replace("\\", "/"))
        # A test outside of the root has "..", which must not lead out of the folder.
        parts = ["_outside" if part == ".." else part.replace(":", "_") for part in file.parts]
        parts = [part for part in parts if part != "/"] or ["_unnamed"]
        name = parts[-1].removesuffix(".py") + ".json"
        return self.directory.joinpath(*parts[:-1], name)

    def compare(
        self,
        nodeid: str,
        entry_name: str,
        record: RunRecord,
        *,
        rtol: float | None = None,
        atol: float | None = None,
        device: str | None = None,
    ) -> Comparison:
        """Hold a record against its baseline; status "missing" where there is none.

        ``rtol`` and ``atol`` replace the tolerances, see `pytest_initcheck.baseline.compare`;
        ``device`` is the kind of this run's device, which another kind in the baseline makes a
        note.

        Raises:
            BaselineError: the file is no valid baseline; the message names file and line.
        """
        file = self.path(nodeid)
        stored = self.stored(nodeid, entry_name)
        if stored is None:
            return Comparison(status="missing", file=_shown(file))
        return compare(record, stored, rtol=rtol, atol=atol, device=device, file=_shown(file))

    def entries(self, nodeid: str) -> tuple[str, ...]:
        """The names that the test has baselines for.

        Raises:
            BaselineError: as `compare`.
        """
        return tuple(self._load(self.path(nodeid), nodeid).get(_test(nodeid), {}))

    def stored(self, nodeid: str, entry_name: str) -> Stored | None:
        """What is stored under that name; None where nothing is.

        Raises:
            BaselineError: as `compare`.
        """
        return self._load(self.path(nodeid), nodeid).get(_test(nodeid), {}).get(entry_name)

    def effect(self, nodeid: str, entry: Entry) -> str:
        """What `update` would do with the entry: "created", "updated" or "unchanged".

        Raises:
            BaselineError: as `compare`.
        """
        before = self.stored(nodeid, entry.name)
        if before is None:
            return "created"
        same = format.same_values(before, freeze(entry.record))
        return "unchanged" if same else "updated"

    def update(self, tests: Iterable[TestRecord], provenance: Mapping[str, str]) -> list[Path]:
        """Write the records of these tests; returns the files that changed, sorted.

        What a test has no record of any more is dropped if the test passed; other tests in the
        same files stay. An entry whose values have not changed stays as it is, provenance
        included. A file that is no valid baseline is replaced.

        Raises:
            BaselineError: a file cannot be written; that file is then as it was.
        """
        by_file: dict[Path, list[TestRecord]] = {}
        for test in tests:
            by_file.setdefault(self.path(test.nodeid), []).append(test)
        kept = _lasting(provenance)
        return [file for file, mine in sorted(by_file.items()) if self._merge(file, mine, kept)]

    def _merge(self, file: Path, tests: list[TestRecord], provenance: dict[str, str]) -> bool:
        try:
            content = dict(self._load(file))
        except BaselineError:
            content = {}
        for test in tests:
            name = _test(test.nodeid)
            before = content.pop(name, {})
            merged = {} if test.outcome in _PASSED else dict(before)
            for entry in test.entries:
                merged[entry.name] = _renewed(before.get(entry.name), entry, provenance)
            if merged:
                content[name] = merged
        return self._save(file, content)

    def _save(self, file: Path, content: Tests) -> bool:
        self._read.pop(file, None)
        if not content:
            existed = file.exists()
            files.remove(file, self.directory)
            return existed
        data = format.render(content).encode("utf-8", "backslashreplace")
        if files.read(file) == data:
            return False
        files.write(file, data)
        return True

    def prune(self, keep: Iterable[str], dry_run: bool = False) -> list[str]:
        """Delete the baselines of every test that is not in ``keep``; returns their nodeids.

        ``keep`` must be all tests that exist, as from a full collection: a test left out loses
        its baselines. Files and folders that this leaves empty go too.

        Raises:
            BaselineError: a file is no valid baseline, before anything is deleted; or a file
                cannot be written.
        """
        kept: dict[Path, set[str]] = {}
        for nodeid in keep:
            kept.setdefault(self.path(nodeid), set()).add(_test(nodeid))
        contents = {file: self._load(file) for file in self.files()}
        gone = []
        for file, content in contents.items():
            alive = {name: e for name, e in content.items() if name in kept.get(file, set())}
            gone += [self._nodeid(file, name) for name in content if name not in alive]
            if len(alive) < len(content) and not dry_run:
                self._save(file, alive)
        return sorted(gone)

    def listing(self) -> list[Listed]:
        """Every stored entry, sorted by file, test and name.

        Raises:
            BaselineError: a file is no valid baseline.
        """
        return [
            Listed(file, self._nodeid(file, test), name, stored)
            for file in self.files()
            for test, entries in sorted(self._load(file).items())
            for name, stored in sorted(entries.items())
        ]

    def files(self) -> list[Path]:
        """The baseline files there are, sorted."""
        return sorted(path for path in self.directory.rglob("*.json") if path.is_file())

    def _nodeid(self, file: Path, test: str) -> str:
        parts = file.relative_to(self.directory).with_suffix("")
        path = parts.as_posix().replace("_outside/", "../")
        path = path if PurePosixPath(path).suffix else path + ".py"
        return f"{path}::{test}" if test else path

    def _load(self, file: Path, nodeid: str = "") -> Tests:
        if file not in self._read:
            content = files.read(file)
            if content is None:
                return {}
            shown = _shown(file)
            target = nodeid.partition("::")[0] or self._nodeid(file, "")
            decoded = text.decode_utf8(content, shown)
            self._read[file] = format.parse(decoded, shown, command(target))
        return self._read[file]


def _test(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if here in file.parents else str(file)


def _lasting(provenance: Mapping[str, str]) -> dict[str, str]:
    """Without the time and the kernel, which would make every update a change and explain none."""
    kept = {key: value for key, value in provenance.items() if key != "time"}
    if "platform" in kept:
        kept["platform"] = kept["platform"].partition("-")[0]
    return kept


def _renewed(before: Stored | None, entry: Entry, provenance: dict[str, str]) -> Stored:
    stored = freeze(entry.record, provenance)
    if before is not None and format.same_values(before, stored):
        return before
    return stored
