"""Stored runs as they come: a run.json, a folder with some, a zip from CI, several of them."""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pytest_initcheck import report as reports
from pytest_initcheck.cli.project import RUN, run_path
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import SessionRecord, TestRecord
from pytest_initcheck.report.write import MOST_BYTES, parse_run
from pytest_initcheck.session.settings import Settings


class Run(NamedTuple):
    """A stored run, and what it is called."""

    name: str
    record: SessionRecord


def read(given: Sequence[str], settings: Settings) -> list[Run]:
    """The runs in these files, folders and archives; that of the last session where none is given.

    Raises:
        InitcheckError: one of them cannot be read, or holds no run.
    """
    if not given:
        path = run_path(None, settings)
        return [Run(str(path), reports.read_run(path))]
    return stored(given)


def stored(given: Sequence[str]) -> list[Run]:
    """The runs in these files, folders and archives.

    Raises:
        InitcheckError: one of them cannot be read, or holds no run.
    """
    return [run for each in given for run in _runs(Path(each))]


def _runs(path: Path) -> Iterator[Run]:
    if path.is_file() and zipfile.is_zipfile(path):
        yield from _zipped(path)
        return
    inside = sorted(path.rglob(RUN)) if path.is_dir() else []
    for file in inside or [path / RUN if path.is_dir() else path]:
        yield Run(str(file), reports.read_run(file))


def _zipped(path: Path) -> Iterator[Run]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [m for m in archive.infolist() if m.filename.rpartition("/")[2] == RUN]
            for member in members:
                name = f"{path}/{member.filename}"
                # What an archive says of its size is not to be believed.
                with archive.open(member) as stream:
                    content = stream.read(MOST_BYTES + 1)
                if len(content) > MOST_BYTES:
                    raise InitcheckError(f"{name}: has more than {MOST_BYTES >> 20} MB")
                yield Run(name, parse_run(content.decode("utf-8"), name))
    except (zipfile.BadZipFile, OSError, RuntimeError, UnicodeDecodeError) as error:
        raise InitcheckError(f"{path}: cannot be read as an archive: {error}") from None
    if not members:
        raise InitcheckError(f"{path}: there is no {RUN} in it")


def compared(run: Run) -> list[TestRecord]:
    """The run's tests, with the entries that took part in the comparison only.

    Raises:
        InitcheckError: there are none.
    """
    tests = []
    for test in run.record.tests:
        entries = tuple(entry for entry in test.entries if entry.comparison is not None)
        if entries:
            tests.append(dataclasses.replace(test, entries=entries))
    if not tests:
        raise InitcheckError(f"{run.name}: no test of this run was compared with baselines")
    return tests
