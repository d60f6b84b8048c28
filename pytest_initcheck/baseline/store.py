"""The folder of baselines: one file per test file, at the same path below it."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any, NamedTuple

from pytest_initcheck import files as disk
from pytest_initcheck.baseline import files, format, lock, places, text
from pytest_initcheck.baseline.compare import compare
from pytest_initcheck.baseline.environment import Environment, Kept
from pytest_initcheck.baseline.format import Content, Tests
from pytest_initcheck.baseline.merge import Merge, Refused, without
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.errors import BaselineError
from pytest_initcheck.records import Comparison, RunRecord, TestRecord


@dataclass(frozen=True)
class Listed:
    """One stored entry: its file, the test's nodeid, the entry's name, and what recorded it."""

    file: Path
    nodeid: str
    entry: str
    stored: Stored

    @property
    def environment(self) -> Environment:
        """Where the record was made."""
        return Environment.of_stored(self.stored)


_ANY = Environment()


class Update(NamedTuple):
    """What an update did: the files that changed, sorted; how many entries were "created",
    "updated", "unchanged" and "dropped"; those that it refused; what it took and doubts; and which
    of the files had an older format, so that what is unchanged in them was written anew as well."""

    files: list[Path]
    counts: Counter[str]
    refused: list[Refused]
    doubts: list[str]
    converted: list[Path]


class Baselines:
    """The baselines below ``directory``. Files are read when needed, and written on request."""

    def __init__(
        self, directory: str | os.PathLike[str], root: str | os.PathLike[str] | None = None
    ) -> None:
        """``root`` is where the tests' ids start."""
        self.directory = Path(directory)
        self._root = None if root is None else Path(root)
        self._project = places.ProjectPlace(self.directory, self._root)
        self._read: dict[Path, Content] = {}

    def path(self, nodeid: str) -> Path:
        """The file that holds the test's baselines, "suites/test_a.py::…" in suites/test_a.json."""
        return self.directory / places.file_of(self._path(nodeid))

    def _path(self, nodeid: str) -> str:
        return self._project.path(_file(nodeid))

    def compare(
        self,
        nodeid: str,
        entry_name: str,
        record: RunRecord,
        *,
        device: str | None = None,
        provenance: Mapping[str, str] = MappingProxyType({}),
        variant: str = "",
        **tolerance: Any,
    ) -> Comparison:
        """Hold a record against its baseline; status "missing" where there is none.

        ``tolerance`` is passed on: ``rtol``, ``atol``, ``least``, ``exact`` and ``tolerances`` of
        `pytest_initcheck.baseline.compare`. ``device`` is the kind of this run's device and
        ``provenance`` tells its torch: of several records that of the same environment is taken,
        else the nearest, which a note says. ``variant`` describes those that count ("cuda").

        Raises:
            BaselineError: the file is no valid baseline; the message names file and line.
        """
        file, known = self.path(nodeid), {"device": device} if device else {}
        environment = Environment.of(record, {**provenance, **known})
        stored = self.stored(nodeid, entry_name, environment, variant)
        if stored is None:
            others = self._kept(nodeid, entry_name)
            notes = (f"none of {variant!r}; there are: {', '.join(sorted(others))}",)
            return Comparison(status="missing", file=_shown(file), notes=notes if others else ())
        now = environment.device or None
        try:
            found = compare(record, stored, device=now, file=_shown(file), **tolerance)
        except (ArithmeticError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise BaselineError(
                f"{_shown(file)}: {entry_name!r} cannot be compared: {reason}"
            ) from None
        return environment.told(found, Environment.of_stored(stored))

    def entries(self, nodeid: str, device: str = "") -> tuple[str, ...]:
        """The names that the test has baselines for, on that kind of device if one is given.

        Raises:
            BaselineError: as `compare`.
        """
        known = self._tests(nodeid).get(_test(nodeid), {}).items()
        here = Environment(device)
        return tuple(name for name, kept in known if kept.own(here) is not None)

    def stored(
        self,
        nodeid: str,
        entry_name: str,
        environment: Environment = _ANY,
        variant: str = "",
    ) -> Stored | None:
        """What is stored under that name, of the nearest environment; None where nothing is.

        Raises:
            BaselineError: as `compare`.
        """
        return self._kept(nodeid, entry_name).nearest(environment, variant)

    def _kept(self, nodeid: str, entry_name: str) -> Kept:
        return self._tests(nodeid).get(_test(nodeid), {}).get(entry_name, Kept())

    def update(
        self,
        tests: Iterable[TestRecord],
        provenance: Mapping[str, str],
        allow: str = "",
        *,
        only_new: bool = False,
    ) -> Update:
        """Write the records of these tests.

        What a test has no record of any more is dropped if the test passed; other tests in the
        same files stay, and so do records of other environments. An entry that fits its baseline
        stays as it is, provenance included, so that no update moves a baseline by as much as
        chance allows. ``allow`` is the reason for which an unhealthy start may be stored. With
        ``only_new`` whatever is stored stays.

        Raises:
            BaselineError: a file is no valid baseline, so that what else it holds would be lost,
                or it cannot be written; every file is then as it was.
        """
        by_file: dict[Path, list[TestRecord]] = {}
        for test in tests:
            by_file.setdefault(self.path(test.nodeid), []).append(test)
        if not by_file:
            return Update([], Counter(), [], [], [])
        with self._alone():
            merge = Merge(provenance, allow, only_new=only_new)
            contents = {
                file: merge.content(self._tests(mine[0].nodeid), mine)
                for file, mine in sorted(by_file.items())
            }
            paths = {file: self._one_path(file, mine) for file, mine in by_file.items()}
            older = {file for file in contents if self._load(file).format != format.FORMAT}
            written = self._save(contents, paths)
            converted = [file for file in written if file in older and contents[file]]
            return Update(written, merge.counts, merge.refused, merge.doubts, converted)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with lock.held(self.directory):
            disk.delete_staged(self.directory)
            # Another process may have written since.
            self._read.clear()
            try:
                yield
            finally:
                self._read.clear()

    def _save(self, contents: Mapping[Path, Tests], paths: Mapping[Path, str]) -> list[Path]:
        changed: dict[Path, bytes | None] = {}
        for file, tests in contents.items():
            before = files.read(file, self.directory)
            after = _bytes(tests, paths[file]) if tests else None
            if before != after and not self._says(file, after, paths[file]):
                changed[file] = after
        files.write(changed, self.directory)
        return list(changed)

    def _says(self, file: Path, content: bytes | None, path: str) -> bool:
        """Whether a file of an older format holds the same, so that it may stay as it is."""
        known = self._load(file)
        is_older = known.format != format.FORMAT
        return is_older and content is not None and content == _bytes(known.tests, path)

    def rewrite(self, file: Path, change: Callable[[bytes], bytes]) -> None:
        """Replace what is in a file by what ``change`` makes of it.

        Raises:
            BaselineError: there is no such file, or it cannot be read or written.
        """
        with self._alone():
            content = files.read(file, self.directory)
            if content is None:
                raise BaselineError(f"{_shown(file)}: there is no such file")
            files.write({file: change(content)}, self.directory)

    def text(self, nodeid: str, entries: Iterable[str]) -> str:
        """These entries of a test, every number in full.

        Raises:
            BaselineError: as `compare`.
        """
        stored = self._tests(nodeid).get(_test(nodeid), {})
        return format.render_long({_test(nodeid): {name: stored[name] for name in entries}})

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
        with contextlib.nullcontext() if dry_run else self._alone():
            contents = {file: self._load(file) for file in self.files()}
            alive = {
                file: {name: e for name, e in found.tests.items() if name in kept.get(file, ())}
                for file, found in contents.items()
            }
            gone = [
                self._nodeid(file, name)
                for file, found in contents.items()
                for name in found.tests
                if name not in alive[file]
            ]
            less = {f: left for f, left in alive.items() if len(left) < len(contents[f].tests)}
            if not dry_run:
                self._save(less, {file: self._source(file) for file in less})
        return sorted(gone)

    def prune_environment(self, words: str, dry_run: bool = False) -> list[str]:
        """Delete the records of the environments that are so described; returns which they are.

        Raises:
            BaselineError: as `prune`.
        """
        with contextlib.nullcontext() if dry_run else self._alone():
            gone = [one for one in self.listing() if one.environment.fits(words)]
            contents: dict[Path, Tests] = {}
            for file in dict.fromkeys(one.file for one in gone):
                contents[file] = without(self._load(file).tests, words)
            if not dry_run:
                self._save(contents, {file: self._source(file) for file in contents})
        return [f"{one.nodeid}: {one.entry!r}: {one.environment}" for one in gone]

    def listing(self) -> list[Listed]:
        """Every stored entry, sorted by file, test and name.

        Raises:
            BaselineError: a file is no valid baseline.
        """
        return [
            Listed(file, self._nodeid(file, test), name, stored)
            for file in self.files()
            for test, entries in sorted(self._load(file).tests.items())
            for name, kept in sorted(entries.items())
            for _, stored in sorted(kept.items())
        ]

    def files(self) -> list[Path]:
        """The baseline files there are, sorted."""
        return sorted(path for path in self.directory.rglob("*.json") if path.is_file())

    def _nodeid(self, file: Path, test: str) -> str:
        path = self._project.test_file(self._source(file))
        return f"{path}::{test}" if test else path

    def _source(self, file: Path) -> str:
        """The test file whose tests these are: as the file says, else what its name may mean."""
        known = self._load(file).path
        if known and self.directory / places.file_of(known) == file:
            return known
        likely = places.paths_of(PurePosixPath(file.relative_to(self.directory).as_posix()))
        return next((path for path in likely if self._is_file(path)), likely[0])

    def _is_file(self, path: str) -> bool:
        return self._root is not None and (self._root / self._project.test_file(path)).is_file()

    def _tests(self, nodeid: str) -> Tests:
        file = self.path(nodeid)
        found = self._load(file)
        # A file that was moved says where it was; the name that leads to it is what counts.
        if found.path != self._path(nodeid) and self._is_same_place(found.path, file):
            raise BaselineError(
                f"{_shown(file)}: holds the baselines of {found.path}, whose name this disk takes "
                f"for that of {self._path(nodeid)}; rename one of the two test files"
            )
        return found.tests

    def _one_path(self, file: Path, tests: list[TestRecord]) -> str:
        first, *others = sorted({self._path(test.nodeid) for test in tests})
        if others:
            raise BaselineError(
                f"{_shown(file)}: is the place of both {first} and {others[0]}; rename one of them"
            )
        return first

    def _is_same_place(self, path: str, file: Path) -> bool:
        if not path:
            return False
        mine = PurePosixPath(file.relative_to(self.directory).as_posix())
        return places.folded(places.file_of(path)) == places.folded(mine)

    def _load(self, file: Path) -> Content:
        if file not in self._read:
            content = files.read(file, self.directory)
            if content is None:
                return Content({})
            shown = _shown(file)
            self._read[file] = format.parse_file(text.decode_utf8(content, shown), shown)
        return self._read[file]


def _bytes(tests: Tests, path: str) -> bytes:
    return format.render(tests, path).encode("utf-8", "backslashreplace")


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _test(nodeid: str) -> str:
    return nodeid.partition("::")[2]


def _shown(file: Path) -> str:
    here = Path.cwd()
    return str(file.relative_to(here)) if here in file.parents else str(file)
