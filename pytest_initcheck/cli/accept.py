"""``initcheck baselines accept``: what stored runs recorded becomes the baselines."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from collections import Counter
from collections.abc import Iterable, Iterator

from pytest_initcheck.baseline import Baselines, Environment, Refused, format_comparison
from pytest_initcheck.cli import FOUND, OK, runs
from pytest_initcheck.cli.compared import comparisons
from pytest_initcheck.cli.output import counted, print_json
from pytest_initcheck.cli.project import baselines_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import RunRecord, SessionRecord, TestRecord
from pytest_initcheck.session.settings import Settings

_EFFECTS = ("created", "updated", "unchanged", "refused")
_Chosen = list[tuple[SessionRecord, list[TestRecord]]]


def accept(arguments: argparse.Namespace) -> int:
    """Write the records of stored runs as baselines, after showing what that changes."""
    baselines, settings = baselines_of(arguments)
    if arguments.allow_unhealthy is not None and not arguments.allow_unhealthy.strip():
        raise InitcheckError("--allow-unhealthy is empty: say why the start may be unhealthy")
    found = runs.read(arguments.run, settings)
    chosen, twice = _merged(found, arguments.only)
    if not any(tests for _, tests in chosen):
        names = ", ".join(run.name for run in found)
        raise InitcheckError(f"{names}: no compared test matches --only {arguments.only!r}")
    if not arguments.json:
        _show(baselines, chosen, settings)
        if twice:
            print(f"in several runs, taken from the first: {counted(Counter(test=len(twice)))}")
        if not arguments.yes and sys.stdin.isatty() and not _agreed():
            print("nothing was written")
            return FOUND
    return _write(baselines, chosen, arguments)


def _merged(found: Iterable[runs.Run], pattern: str | None) -> tuple[_Chosen, list[str]]:
    """Each run with its tests, a test that is in several of one environment with the first of
    them; and those. The newest torch comes first, as an older one says nothing of what it lacks."""
    seen: set[tuple[str, frozenset[str]]] = set()
    twice: list[str] = []
    chosen: _Chosen = []
    for run in found:
        places = {
            (test.nodeid, _environments(test, run.record)): test
            for test in _matching(runs.compared(run), pattern)
        }
        twice += [nodeid for nodeid, where in places if (nodeid, where) in seen]
        chosen.append((run.record, [test for at, test in places.items() if at not in seen]))
        seen.update(places)
    return sorted(chosen, key=lambda pair: _torch(pair[0]), reverse=True), twice


def _environments(test: TestRecord, run: SessionRecord) -> frozenset[str]:
    return frozenset(str(Environment.of(e.record, run.provenance)) for e in test.entries)


def _torch(run: SessionRecord) -> tuple[int, int]:
    return Environment.of(RunRecord(), run.provenance).version


def _matching(tests: Iterable[TestRecord], pattern: str | None) -> Iterator[TestRecord]:
    for test in tests:
        nodeid = test.nodeid
        if pattern is None or pattern in nodeid or fnmatch.fnmatchcase(nodeid, pattern):
            yield test


def _show(baselines: Baselines, chosen: _Chosen, settings: Settings) -> None:
    for run, tests in chosen:
        for test in tests:
            for name, comparison in comparisons(baselines, test, settings, run.provenance):
                if comparison.status in ("changed", "missing"):
                    lines = format_comparison(comparison, name, test.nodeid).splitlines()
                    kept = lines[: 2 if comparison.status == "changed" else 1]
                    print("\n  ".join([test.nodeid, *kept]))


def _agreed() -> bool:
    return input("write this into the baselines? [y/N] ").strip().lower() in ("y", "yes")


def _write(baselines: Baselines, chosen: _Chosen, arguments: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    files: dict[str, str] = {}
    refused: list[Refused] = []
    doubts: list[str] = []
    for run, tests in chosen:
        done = baselines.update(tests, run.provenance, arguments.allow_unhealthy or "")
        counts += done.counts
        refused += done.refused
        doubts += done.doubts
        files |= {str(file): "wrote" if file.exists() else "deleted" for file in done.files}
    if arguments.json:
        told = {"refused": list(map(str, refused)), "doubts": doubts}
        print_json({"counts": dict(counts), "files": files, **told})
    else:
        for file, effect in files.items():
            print(f"{effect} {file}")
        for doubt in doubts:
            print(f"note: stored, but {doubt}")
        for each in refused:
            print(f"refused {each}".replace("--initcheck-allow", "--allow"))
        print(counted(counts, _EFFECTS))
    return FOUND if refused else OK
