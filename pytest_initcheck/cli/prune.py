"""``initcheck baselines prune``: what belongs to no test any more goes."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pytest_initcheck.cli import OK
from pytest_initcheck.cli.output import print_json
from pytest_initcheck.cli.project import baselines_of
from pytest_initcheck.errors import InitcheckError

GONE, ALIVE = "gone", ""
_OUTSIDE = "its file lies outside of the rootdir, and is not there; delete the baselines by hand"
_EMPTY = "the file exists, but none of its tests can be collected here"
_VARIANT = "not collected here, but its function is (another device?); --variants deletes it"
_DEFINED = "not collected here, but its file defines a function of that name"


@dataclass
class _Source:
    """A test file: what was collected in it, and what it defines."""

    path: Path
    is_inside: bool
    tests: frozenset[str]

    def state(self, test: str, with_variants: bool) -> str:
        """Empty for a test that is there, "gone", or why it is kept all the same."""
        if not self.path.is_file():
            return GONE if self.is_inside else _OUTSIDE
        if test in self.tests:
            return ALIVE
        if not self.tests:
            return _EMPTY
        function = _function(test)
        if function in map(_function, self.tests):
            return GONE if with_variants else _VARIANT
        return _DEFINED if function.rpartition("::")[2] in self.defined else GONE

    @cached_property
    def defined(self) -> frozenset[str]:
        """The names of all functions in the file, under whatever condition they stand."""
        try:
            tree = ast.parse(self.path.read_bytes())
        except (OSError, SyntaxError, ValueError, RecursionError):
            return frozenset()
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def _function(test: str) -> str:
    return test.partition("[")[0]


def prune(arguments: argparse.Namespace) -> int:
    """Delete the baselines of tests that are gone, after collecting all tests that are not."""
    baselines, settings = baselines_of(arguments)
    stored = list(dict.fromkeys(one.nodeid for one in baselines.listing()))
    sources = _sources(settings.root, stored)
    states = {
        nodeid: sources[_file(nodeid)].state(nodeid.partition("::")[2], arguments.variants)
        for nodeid in stored
    }
    kept = {nodeid: why for nodeid, why in states.items() if why not in (GONE, ALIVE)}
    alive = [nodeid for nodeid, state in states.items() if state != GONE]
    gone = baselines.prune(alive, arguments.dry_run)
    if arguments.json:
        print_json({"gone": gone, "kept": kept, "deleted": not arguments.dry_run})
        return OK
    for nodeid, reason in kept.items():
        print(f"kept {nodeid}: {reason}")
    for nodeid in gone:
        print(f"{'would delete' if arguments.dry_run else 'deleted'} {nodeid}")
    print(f"{len(gone)} of {len(stored)} tests with baselines are gone")
    return OK


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def _sources(root: Path, nodeids: Iterable[str]) -> dict[str, _Source]:
    files = sorted({_file(nodeid) for nodeid in nodeids})
    existing = [file for file in files if (root / file).is_file()]
    found: dict[str, set[str]] = {file: set() for file in files}
    for nodeid in _collect(root, existing) if existing else ():
        found.setdefault(_file(nodeid), set()).add(nodeid.partition("::")[2])
    return {
        file: _Source(root / file, not file.startswith(("..", "/")), frozenset(tests))
        for file, tests in found.items()
    }


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
