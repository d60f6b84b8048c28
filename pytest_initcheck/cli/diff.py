"""``initcheck baselines diff``: a stored run, held against the baselines or an earlier run."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from pytest_initcheck.baseline import format_comparison, refusal
from pytest_initcheck.baseline.describe import changed_lines
from pytest_initcheck.cli import FOUND, OK, runs
from pytest_initcheck.cli.compared import comparisons
from pytest_initcheck.cli.earlier_run import EarlierRun, tests_of
from pytest_initcheck.cli.output import counted, print_json
from pytest_initcheck.cli.project import baselines_of, settings_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, TestRecord
from pytest_initcheck.serialization import encode
from pytest_initcheck.session.settings import Settings

_STATUSES = ("match", "changed", "missing", "obsolete")


class ComparedEntry(NamedTuple):
    """An entry of a test, its comparison, and that in words."""

    nodeid: str
    entry: str
    comparison: Comparison
    text: str


def diff(arguments: argparse.Namespace) -> int:
    """Print what differs between a stored run and the baselines, or of two runs; 1 for any."""
    if len(arguments.run) > 2:
        raise InitcheckError(f"{len(arguments.run)} runs: pass one, or two that are compared")
    found = _of_two(arguments) if len(arguments.run) == 2 else _of_baselines(arguments)
    counts = Counter[str](told.comparison.status for told in found)
    if arguments.json:
        print_json({"counts": dict(counts), "entries": list(map(_as_data, found))})
    else:
        for told in found:
            if told.comparison.status != "match":
                print("\n  ".join([told.nodeid, *told.text.splitlines()]))
        print(counted(counts, _STATUSES))
    return OK if set(counts) <= {"match"} else FOUND


def _of_baselines(arguments: argparse.Namespace) -> list[ComparedEntry]:
    baselines, settings = baselines_of(arguments)
    return [
        ComparedEntry(test.nodeid, name, found, _in_words(test, name, found))
        for run in runs.read(arguments.run, settings)
        for test in runs.compared(run)
        for name, found in comparisons(baselines, test, settings, run.record.provenance)
    ]


def _in_words(test: TestRecord, name: str, found: Comparison) -> str:
    blocked = next((refusal(entry) for entry in test.entries if entry.name == name), "")
    return format_comparison(found, name, test.nodeid, blocked)


def _as_data(told: ComparedEntry) -> dict[str, Any]:
    # What was expected is in the baseline, and as large.
    comparison = encode(dataclasses.replace(told.comparison, expected=None))
    return {"nodeid": told.nodeid, "entry": told.entry, **comparison}


def _of_two(arguments: argparse.Namespace) -> list[ComparedEntry]:
    settings = settings_of(arguments.rootdir, arguments.baselines)
    first, second = ((name, runs.stored([name])) for name in arguments.run)
    return list(_between(EarlierRun(*first), second, settings))


def _between(
    earlier: EarlierRun, later: tuple[str, Sequence[runs.Run]], settings: Settings
) -> Iterator[ComparedEntry]:
    name, found = later
    tests = tests_of(found)
    gone = [TestRecord(nodeid=nodeid) for nodeid in earlier.tests if nodeid not in tests]
    pairs = [(test, run.record.provenance) for test, run in tests.values()]
    for test, provenance in [*pairs, *((test, {}) for test in gone)]:
        known = comparisons(earlier, test, settings, provenance, is_baseline=False)
        for entry, comparison in known:
            text = _of_runs(comparison, entry, (earlier.name, name))
            yield ComparedEntry(test.nodeid, entry, comparison, text)


def _of_runs(comparison: Comparison, entry: str, names: tuple[str, str]) -> str:
    if comparison.status == "changed":
        return "\n".join(changed_lines(comparison, entry))
    lacking = names[0] if comparison.status == "missing" else names[1]
    return f"{comparison.status}: {entry!r} is not in {lacking}"
