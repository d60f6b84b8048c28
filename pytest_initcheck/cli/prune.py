"""``initcheck baselines prune``: what belongs to no test any more goes."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pytest_initcheck.baseline import Baselines, living
from pytest_initcheck.cli import OK
from pytest_initcheck.cli.output import print_json
from pytest_initcheck.cli.project import baselines_of
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.plugin.homes import home


def prune(arguments: argparse.Namespace) -> int:
    """Delete the baselines of tests that are gone, after collecting all tests that are not."""
    baselines, settings = baselines_of(arguments)
    if arguments.environment is not None:
        return _prune_environment(baselines, arguments)
    stored = list(dict.fromkeys(one.nodeid for one in baselines.listing()))
    foreign = dict(_foreign(settings.root, stored))
    paths = sorted({nodeid.partition("::")[0] for nodeid in stored if nodeid not in foreign})
    existing = [path for path in paths if (settings.root / path).is_file()]
    collected = _collect(settings.root, existing) if existing else []
    states = living.states(settings.root, stored, collected, arguments.variants) | foreign
    kept = {nodeid: why for nodeid, why in states.items() if why not in (living.GONE, living.ALIVE)}
    alive = [nodeid for nodeid, state in states.items() if state != living.GONE]
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


def _foreign(root: Path, stored: list[str]) -> Iterator[tuple[str, str]]:
    """The tests of other projects, which this one's options may not collect, and why they stay."""
    for nodeid in stored:
        own = home(Path(os.path.normpath(root / nodeid.partition("::")[0])))
        if own is not None and own not in (root, *root.parents):
            yield nodeid, f"its file belongs to another project; prune in {own}"


def _prune_environment(baselines: Baselines, arguments: argparse.Namespace) -> int:
    """Delete the records that were made in such an environment; no test needs to be collected."""
    if not arguments.environment.strip():
        raise InitcheckError("--environment is empty: say which, as initcheck baselines list does")
    gone = baselines.prune_environment(arguments.environment, arguments.dry_run)
    if arguments.json:
        print_json({"gone": gone, "kept": {}, "deleted": not arguments.dry_run})
        return OK
    for record in gone:
        print(f"{'would delete' if arguments.dry_run else 'deleted'} {record}")
    print(f"{len(gone)} records are of {arguments.environment!r}")
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
