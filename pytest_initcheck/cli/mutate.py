"""``initcheck mutate``: which tests notice a start fault, planted into the models that they use."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_initcheck import report
from pytest_initcheck.cli import FOUND, OK
from pytest_initcheck.cli.output import aligned, print_json
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.plugin.planting import NONE
from pytest_initcheck.records import Entry, RunRecord, SessionRecord, TestRecord, Verdict
from pytest_initcheck.session.provenance import provenance

_PLUGIN = "pytest_initcheck.plugin.planting"
# A run with a fault in it must leave nothing behind.
_QUIET = ("-q", "-p", "no:cacheprovider")


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a whole run of the tests made of one fault. ``noticed`` are the tests that pass without
    the fault and fail with it; ``planted`` counts the models that had a place for it."""

    fault: str
    what: str = ""
    planted: int = 0
    noticed: tuple[str, ...] = ()
    tests: dict[str, str] = field(default_factory=dict)

    @property
    def applies(self) -> bool:
        """Whether any model had a place for it."""
        return self.planted > 0


def mutate(arguments: argparse.Namespace) -> int:
    """Run the tests as they are and once with each fault; 1 where too few faults were noticed."""
    from pytest_initcheck.mutation import FAULTS

    chosen = [f for f in FAULTS if not arguments.fault or f.name in arguments.fault]
    sound = _run(NONE, "", arguments.pytest)
    passing = {test for test, outcome in sound.tests.items() if outcome == "passed"}
    if not passing:
        raise InitcheckError("no test passes without a fault; pass tests that do, as to pytest")
    with ThreadPoolExecutor(arguments.jobs) as pool:
        runs = [pool.submit(_run, f.name, f.what, arguments.pytest) for f in chosen]
        found = [_compared(run.result(), passing) for run in runs]
    applying = [outcome for outcome in found if outcome.applies]
    if not applying:
        raise InitcheckError("no model of these tests has a place for a fault")
    share = sum(bool(outcome.noticed) for outcome in applying) / len(applying)
    is_enough = share >= arguments.least
    if arguments.report != "off":
        report.write(_session(found, is_enough=is_enough), arguments.report)
    if arguments.json:
        print_json(_data(found, passing, share))
    else:
        print("\n".join(_text(found, passing, share)))
    return OK if is_enough else FOUND


def _session(found: Sequence[Outcome], *, is_enough: bool) -> SessionRecord:
    """What the report shows: one entry, whose table has a row for each fault that has a place."""
    record = RunRecord(noticed={o.fault: o.noticed for o in found if o.applies})
    verdict: Verdict = "pass" if is_enough else "fail"
    entry = Entry(name="mutation", kind="mutation", record=record, verdict=verdict)
    outcome = "passed" if is_enough else "failed"
    test = TestRecord(nodeid="initcheck mutate", outcome=outcome, entries=(entry,))
    return SessionRecord(report.FORMAT, provenance([entry]), (test,))


def _run(fault: str, what: str, given: Sequence[str]) -> Outcome:
    """One run of pytest in a process of its own, so that nothing of the fault outlives it."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "outcomes.json"
        planting = ["-p", _PLUGIN, f"--initcheck-plant={fault}", f"--initcheck-planted={file}"]
        aside = f"--initcheck-report={Path(folder) / 'report.html'}"
        command = [sys.executable, "-m", "pytest", *given, *planting, *_QUIET, aside]
        environment = {"PYTHONDONTWRITEBYTECODE": "1", **os.environ}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if not file.exists():
            last = (done.stderr or done.stdout).strip().splitlines()[-5:]
            raise InitcheckError("pytest did not run the tests:\n" + "\n".join(last))
        told: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return Outcome(fault=fault, what=what, planted=told["planted"], tests=told["tests"])


def _compared(outcome: Outcome, passing: set[str]) -> Outcome:
    # A test that is not there any more fell with the collection of its file.
    noticed = sorted(t for t in passing if outcome.tests.get(t, "failed") == "failed")
    return replace(outcome, noticed=tuple(noticed))


def _text(found: Sequence[Outcome], passing: set[str], share: float) -> list[str]:
    rows = [("fault", "planted in", "noticed by", "")]
    rows += [(o.fault, _models(o), _tests(o), o.what) for o in found]
    missed = [o.fault for o in found if o.applies and not o.noticed]
    blind = sorted(passing - {test for outcome in found for test in outcome.noticed})
    lines = [*aligned(rows), f"{share:.0%} of the faults that have a place were noticed"]
    lines += [f"noticed by no test: {', '.join(missed)}"] if missed else []
    if blind:
        lines += [f"tests that notice none of them: {len(blind)} of {len(passing)}"]
        lines += [f"  {test}" for test in blind[:10]]
        lines += [f"  and {len(blind) - 10} more"] if len(blind) > 10 else []
    return lines


def _models(outcome: Outcome) -> str:
    return f"{outcome.planted} model{'s' * (outcome.planted != 1)}"


def _tests(outcome: Outcome) -> str:
    if not outcome.applies:
        return "does not apply"
    count = len(outcome.noticed)
    return f"{count} test{'s' * (count != 1)}" if count else "none"


def _data(found: Sequence[Outcome], passing: set[str], share: float) -> dict[str, Any]:
    return {
        "share": share,
        "tests": sorted(passing),
        "faults": [
            {"fault": o.fault, "what": o.what, "planted": o.planted, "noticed": list(o.noticed)}
            for o in found
        ],
    }
