"""``initcheck baselines …`` and ``initcheck report``: what was stored, seen and changed by hand."""

from __future__ import annotations

import argparse
import dataclasses
import fnmatch
import json
import subprocess
import sys
import tempfile
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
    counts = Counter(
        baselines.effect(test.nodeid, entry) for test in tests for entry in test.entries
    )
    for file in baselines.update(tests, run.provenance):
        print(f"wrote {file}" if file.exists() else f"deleted {file}")
    print(_counted(counts, ("created", "updated", "unchanged")))
    return OK


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


def prune(arguments: argparse.Namespace) -> int:
    """Delete the baselines of tests that are gone, after collecting all tests that are not."""
    baselines, settings = baselines_of(arguments)
    stored = baselines.listing()
    files = sorted({one.nodeid.partition("::")[0] for one in stored})
    existing = [file for file in files if (settings.root / file).is_file()]
    alive = _collect(settings.root, existing) if existing else []
    empty = set(existing) - {nodeid.partition("::")[0] for nodeid in alive}
    for file in sorted(empty):
        print(f"kept {file}: the file exists, but none of its tests can be collected here")
    kept = [one.nodeid for one in stored if one.nodeid.partition("::")[0] in empty]
    gone = baselines.prune([*alive, *kept], arguments.dry_run)
    for nodeid in gone:
        print(f"{'would delete' if arguments.dry_run else 'deleted'} {nodeid}")
    print(f"{len(gone)} of {len({one.nodeid for one in stored})} tests with baselines are gone")
    return OK


def _collect(root: Path, files: list[str]) -> list[str]:
    """All tests in these files.

    Raises:
        InitcheckError: the collection failed, or did not take in every test.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tests.json"
        command = [sys.executable, "-m", "pytest_initcheck.cli.collect", str(out), str(root)]
        paths = [str(root / file) for file in files]
        done = subprocess.run([*command, *paths], check=False, capture_output=True, text=True)
        if not out.exists():
            reason = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
            raise InitcheckError(f"nothing was pruned: pytest could not collect: {reason[0]}")
        data = json.loads(out.read_text(encoding="utf-8"))
    if data["faults"]:
        raise InitcheckError(f"nothing was pruned: {data['faults'][0]} could not be collected")
    if data["deselected"]:
        raise InitcheckError(
            f"nothing was pruned: the project's pytest options deselect {data['deselected']} "
            "tests (-m or -k in addopts?), whose baselines would be lost"
        )
    return list(data["tests"])


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML page of a stored run."""
    given = Path(arguments.run)
    path = given / "run.json" if given.is_dir() else given
    output = Path(arguments.output) if arguments.output else path.with_name("index.html")
    print(f"report: {reports.write(reports.read_run(path), output)}")
    return OK
