"""``initcheck baselines …`` and ``initcheck report``: what was stored, seen and changed by hand."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from pytest_initcheck.baseline import Listed
from pytest_initcheck.cli import OK
from pytest_initcheck.cli.output import aligned, print_json
from pytest_initcheck.cli.project import baselines_of, plugin_arguments
from pytest_initcheck.errors import InitcheckError


def regenerate(arguments: argparse.Namespace) -> int:
    """Run pytest with ``--initcheck-update``; returns its exit status."""
    command = [sys.executable, "-m", "pytest", *plugin_arguments(), "--initcheck-update"]
    if arguments.baselines is not None:
        command.append(f"--initcheck-baselines={arguments.baselines}")
    return subprocess.run([*command, *arguments.pytest], check=False).returncode


def listing(arguments: argparse.Namespace) -> int:
    """Print one line per stored entry."""
    baselines, settings = baselines_of(arguments)
    found = baselines.listing()
    if arguments.json:
        print_json([_listed(one) for one in found])
        return OK
    rows = [("test", "entry", "holds", "seeds", "device", "torch"), *map(_row, found)]
    for line in aligned(rows if found else ()):
        print(line)
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
