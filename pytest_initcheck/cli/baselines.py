"""``initcheck baselines …`` and ``initcheck report``: what was stored, seen and changed by hand."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from pytest_initcheck import report as reports
from pytest_initcheck.baseline import Baselines, Listed, format_comparison
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.project import baselines_of, plugin_arguments, run_path
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, Entry, SessionRecord, TestRecord
from pytest_initcheck.session.provenance import device_of

_PASSED = ("passed", "xpassed")


def regenerate(arguments: argparse.Namespace) -> int:
    """Run pytest with ``--initcheck-update``; returns its exit status."""
    command = [sys.executable, "-m", "pytest", *plugin_arguments(), "--initcheck-update"]
    if arguments.baselines is not None:
        command.append(f"--initcheck-baselines={arguments.baselines}")
    return subprocess.run([*command, *arguments.pytest], check=False).returncode


def diff(arguments: argparse.Namespace) -> int:
    """Print what differs between a stored run and the baselines; 1 where something does."""
    baselines, settings = baselines_of(arguments)
    path = run_path(arguments.run, settings)
    tests = _compared_tests(reports.read_run(path), path)
    counts: Counter[str] = Counter()
    for test in tests:
        for name, comparison in _comparisons(baselines, test):
            counts[comparison.status] += 1
            if comparison.status != "match":
                print(
                    f"{test.nodeid}\n{_indented(format_comparison(comparison, name, test.nodeid))}"
                )
    print(_counted(counts, ("match", "changed", "missing", "obsolete")))
    return OK if set(counts) <= {"match"} else FOUND


def _compared_tests(run: SessionRecord, path: Path) -> list[TestRecord]:
    """The run's tests, with the entries that took part in the comparison only."""
    tests = []
    for test in run.tests:
        entries = tuple(entry for entry in test.entries if entry.comparison is not None)
        if entries:
            tests.append(dataclasses.replace(test, entries=entries))
    if not tests:
        raise InitcheckError(f"{path}: no test of this run was compared with baselines")
    return tests


def _comparisons(baselines: Baselines, test: TestRecord) -> Iterator[tuple[str, Comparison]]:
    for entry in test.entries:
        yield entry.name, _comparison(baselines, test.nodeid, entry)
    if test.outcome in _PASSED:
        recorded = {entry.name for entry in test.entries}
        for name in baselines.entries(test.nodeid):
            if name not in recorded:
                yield name, Comparison(status="obsolete", file=str(baselines.path(test.nodeid)))


def _comparison(baselines: Baselines, nodeid: str, entry: Entry) -> Comparison:
    stored = baselines.stored(nodeid, entry.name)
    known = entry.comparison
    # The test's own tolerances are only in what it found itself; that holds for this baseline.
    if stored and known and known.expected == stored.expected():
        return known
    return baselines.compare(nodeid, entry.name, entry.record, device=device_of(entry))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _counted(counts: Counter[str], words: Iterable[str]) -> str:
    told = [f"{counts[word]} {word}" for word in words if counts[word]]
    return ", ".join(told) or "nothing"


def accept(arguments: argparse.Namespace) -> int:
    """Write the records of a stored run as baselines."""
    baselines, settings = baselines_of(arguments)
    path = run_path(arguments.run, settings)
    run = reports.read_run(path)
    tests = list(_chosen(_compared_tests(run, path), arguments.only))
    if not tests:
        raise InitcheckError(f"{path}: no compared test matches --only {arguments.only!r}")
    done = baselines.update(tests, run.provenance)
    for file in done.files:
        print(f"wrote {file}" if file.exists() else f"deleted {file}")
    for refused in done.refused:
        print(f"refused {refused}")
    print(_counted(done.counts, ("created", "updated", "unchanged", "refused")))
    return FOUND if done.refused else OK


def _chosen(tests: Iterable[TestRecord], pattern: str | None) -> Iterator[TestRecord]:
    for test in tests:
        nodeid = test.nodeid
        if pattern is None or pattern in nodeid or fnmatch.fnmatchcase(nodeid, pattern):
            yield test


def listing(arguments: argparse.Namespace) -> int:
    """Print one line per stored entry."""
    baselines, settings = baselines_of(arguments)
    found = baselines.listing()
    rows = [("test", "entry", "holds", "seeds", "device", "torch"), *map(_row, found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows if found else ():
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    files = len({one.file for one in found})
    print(f"{len(found)} entries in {files} files below {settings.baselines}")
    return OK


def _row(one: Listed) -> tuple[str, ...]:
    record, provenance = one.stored.record, one.stored.provenance
    model = record.before or record.after
    parts = (
        (len(model.layers) if model else 0, "layer"),
        (len(record.metrics), "metric"),
        (len(one.stored.bands), "curve"),
    )
    holds = [f"{n} {word}{'s' * (n > 1)}" for n, word in parts if n]
    return (
        one.nodeid,
        one.entry,
        ", ".join(holds) or "nothing",
        str(len(record.seeds) or "-"),
        record.meta.get("device", provenance.get("device", "-")),
        provenance.get("torch", "-"),
    )


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML page of a stored run."""
    given = Path(arguments.run)
    path = given / "run.json" if given.is_dir() else given
    output = Path(arguments.output) if arguments.output else path.with_name("index.html")
    print(f"report: {reports.write(reports.read_run(path), output)}")
    return OK
