"""Stored runs of a small project, and the command line on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_initcheck import report
from pytest_initcheck.cli import main
from pytest_initcheck.records import Comparison, Entry, RunRecord, SessionRecord, TestRecord
from support.baseline import PROVENANCE

X, Y = "suites/test_a.py::test_x", "suites/test_a.py::test_y[1]"


def run_of(record: RunRecord, outcome: str = "passed", **more: object) -> SessionRecord:
    entry = Entry(
        name="diagnosis", kind="diagnosis", record=record, comparison=Comparison(status="match")
    )
    metric = Entry(
        name="m",
        kind="metrics",
        record=RunRecord(metrics={"a": (1.0,)}),
        comparison=Comparison(status="match"),
    )
    tests = (
        TestRecord(nodeid=X, outcome=outcome, entries=(entry,)),
        TestRecord(nodeid=Y, entries=(metric,)),
    )
    return SessionRecord(report.FORMAT, PROVENANCE, tests, **more)


def store(folder: Path, session: SessionRecord) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").write_text(report.run_json(session))
    return str(folder / "run.json")


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def content(project: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (project / "stored").rglob("*") if p.is_file()}
