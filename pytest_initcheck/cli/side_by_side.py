"""``initcheck report A B``: two stored runs on one page."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pytest_initcheck import files
from pytest_initcheck import report as reports
from pytest_initcheck.cli import OK, runs
from pytest_initcheck.cli.compared import comparisons
from pytest_initcheck.cli.earlier_run import EarlierRun, tests_of
from pytest_initcheck.cli.project import RUN, settings_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, Entry, SessionRecord, TestRecord
from pytest_initcheck.report.against import Against
from pytest_initcheck.session.settings import Settings

PAGE = "side-by-side.html"


def side_by_side(arguments: argparse.Namespace) -> int:
    """Write the page of two runs: what differs, layer by layer.

    Raises:
        InitcheckError: one of them cannot be read, or the page not be written.
    """
    first, second = arguments.run
    against = Against(*told_apart(first, second))
    settings = settings_of(None, None)
    earlier = EarlierRun(against.first, runs.stored([first]))
    session = compared(earlier, runs.stored([second]), settings)
    page = _page(arguments.output, Path(second))
    try:
        files.replace(page, reports.render(session, against))
    except OSError as error:
        raise InitcheckError(f"cannot write the page {page}: {error.strerror or error}") from None
    print(f"{against.sentence(session)}\nreport: {page}")
    return OK


def told_apart(first: str, second: str) -> tuple[str, str]:
    """Short names of two files or folders: what their paths do not share.

    Where nothing is left to tell them apart they are called A and B.
    """
    parts = [_folders(path) for path in (first, second)]
    while all(parts) and parts[0][0] == parts[1][0]:
        parts = [path[1:] for path in parts]
    while all(len(path) > 1 for path in parts) and parts[0][-1] == parts[1][-1]:
        parts = [path[:-1] for path in parts]
    return ("/".join(parts[0]), "/".join(parts[1])) if all(parts) else ("A", "B")


def _folders(path: str) -> tuple[str, ...]:
    absolute = Path(os.path.abspath(path))
    return absolute.parts[:-1] if absolute.name == RUN else absolute.parts


def _page(given: str | None, second: Path) -> Path:
    if given is None:
        return (second if second.is_dir() else second.parent) / PAGE
    page = Path(given)
    return page / PAGE if page.is_dir() or not page.suffix else page


def compared(earlier: EarlierRun, found: Sequence[runs.Run], settings: Settings) -> SessionRecord:
    """The later run, each record held against that of the earlier one."""
    tests = tests_of(found)
    gone = [nodeid for nodeid in earlier.tests if nodeid not in tests]
    notes = [f"only in {earlier.name}: {nodeid}" for nodeid in gone]
    made = []
    for test, run in tests.values():
        pairs = dict(comparisons(earlier, test, settings, run.record.provenance, is_baseline=False))
        made.append(dataclasses.replace(test, entries=tuple(_entries(earlier, test, pairs))))
        recorded = {entry.name for entry in test.entries}
        notes += [
            f"only in {earlier.name}: {test.nodeid} {name!r}"
            for name in pairs
            if name not in recorded
        ]
    provenance = found[0].record.provenance if found else {}
    return SessionRecord(reports.FORMAT, provenance, tuple(made), tuple(notes))


def _entries(
    earlier: EarlierRun, test: TestRecord, pairs: dict[str, Comparison]
) -> Iterator[Entry]:
    known = earlier.tests.get(test.nodeid)
    verdicts = {entry.name: entry.verdict or "" for entry in known[0].entries} if known else {}
    for entry in test.entries:
        found = pairs[entry.name]
        status = "new" if found.status == "missing" else found.status
        provenance = {**found.provenance, "verdict": verdicts.get(entry.name, "")}
        found = dataclasses.replace(found, status=status, provenance=provenance)
        yield dataclasses.replace(entry, comparison=found)
