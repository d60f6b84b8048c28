"""``initcheck baselines …`` and ``initcheck report``: what was stored, seen and changed by hand."""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from pytest_initcheck import report as reports
from pytest_initcheck.baseline import Listed, format_comparison, refusal
from pytest_initcheck.cli import FOUND, OK, runs
from pytest_initcheck.cli.compared import comparisons
from pytest_initcheck.cli.output import counted, print_json
from pytest_initcheck.cli.project import baselines_of, plugin_arguments
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Comparison, TestRecord
from pytest_initcheck.serialization import encode

_STATUSES = ("match", "changed", "missing", "obsolete")


def regenerate(arguments: argparse.Namespace) -> int:
    """Run pytest with ``--initcheck-update``; returns its exit status."""
    command = [sys.executable, "-m", "pytest", *plugin_arguments(), "--initcheck-update"]
    if arguments.baselines is not None:
        command.append(f"--initcheck-baselines={arguments.baselines}")
    return subprocess.run([*command, *arguments.pytest], check=False).returncode


def diff(arguments: argparse.Namespace) -> int:
    """Print what differs between a stored run and the baselines; 1 where something does."""
    baselines, settings = baselines_of(arguments)
    found = [
        (test, name, comparison)
        for run in runs.read([arguments.run] if arguments.run else [], settings)
        for test in runs.compared(run)
        for name, comparison in comparisons(baselines, test, run.record.provenance)
    ]
    counts = Counter(comparison.status for _, _, comparison in found)
    if arguments.json:
        entries = [_as_data(test.nodeid, name, comparison) for test, name, comparison in found]
        print_json({"counts": dict(counts), "entries": entries})
    else:
        for test, name, comparison in found:
            if comparison.status != "match":
                text = format_comparison(comparison, name, test.nodeid, _blocked(test, name))
                print(f"{test.nodeid}\n{_indented(text)}")
        print(counted(Counter(map(str, counts.elements())), _STATUSES))
    return OK if set(counts) <= {"match"} else FOUND


def _as_data(nodeid: str, name: str, comparison: Comparison) -> dict[str, Any]:
    # What was expected is in the baseline, and as large.
    told = encode(dataclasses.replace(comparison, expected=None))
    return {"nodeid": nodeid, "entry": name, **told}


def _blocked(test: TestRecord, name: str) -> str:
    return next((refusal(entry) for entry in test.entries if entry.name == name), "")


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def listing(arguments: argparse.Namespace) -> int:
    """Print one line per stored entry."""
    baselines, settings = baselines_of(arguments)
    found = baselines.listing()
    if arguments.json:
        print_json([_listed(one) for one in found])
        return OK
    rows = [("test", "entry", "holds", "seeds", "device", "torch"), *map(_row, found)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows if found else ():
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
    files = len({one.file for one in found})
    print(f"{len(found)} entries in {files} files below {settings.baselines}")
    return OK


def _listed(one: Listed) -> dict[str, Any]:
    stored = one.stored
    known = {
        "environment": str(one.environment),
        "provenance": stored.provenance,
        "seeds": len(stored.record.seeds),
    }
    return {"file": str(one.file), "nodeid": one.nodeid, "entry": one.entry, **known}


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
        one.environment.device or provenance.get("device", "-"),
        provenance.get("torch", "-"),
    )


def show(arguments: argparse.Namespace) -> int:
    """Print what is stored for a test, or one entry of it, with every number in full."""
    baselines, _ = baselines_of(arguments)
    nodeid, names = arguments.test, baselines.entries(arguments.test)
    if not names:
        raise InitcheckError(f"{nodeid}: has no baseline; initcheck baselines list names all")
    if arguments.entry is not None and arguments.entry not in names:
        known = ", ".join(map(repr, names))
        raise InitcheckError(f"{nodeid}: has no entry {arguments.entry!r}; it has {known}")
    chosen = names if arguments.entry is None else (arguments.entry,)
    text = baselines.text(nodeid, chosen)
    if arguments.json:
        print_json(json.loads(text))
    else:
        print(f"{baselines.path(nodeid)}\n{text}", end="")
    return OK


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML page of a stored run."""
    given = Path(arguments.run)
    path = given / "run.json" if given.is_dir() else given
    output = Path(arguments.output) if arguments.output else path.with_name("index.html")
    print(f"report: {reports.write(reports.read_run(path), output)}")
    return OK
