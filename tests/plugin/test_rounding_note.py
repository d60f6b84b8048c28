"""After an upgrade: one line for all records that only rounding parts from their baselines."""

from __future__ import annotations

import json
import re

import pytest

from pytest_initcheck.records import Comparison, Entry, RunRecord, TestRecord
from pytest_initcheck.session import elsewhere as module

TESTS = """
    import pytest
    @pytest.mark.parametrize("i", range(3))
    def test_cost(initcheck, i):
        initcheck.compare("cost", {"cost": 1.0 + i + FACTOR})
    def test_curve(initcheck):
        from pytest_initcheck.records import RunRecord
        curves = {"loss": tuple((3.0 + s, 2.0 + FACTOR, 1.0) for s in range(4))}
        metrics = {"accuracy": tuple(0.5 + s / 10 + FACTOR for s in range(4))}
        initcheck.compare("run", RunRecord(seeds=(0, 1, 2, 3), curves=curves, metrics=metrics))
"""


def write(project, factor):
    project.test(test_a=TESTS.replace("FACTOR", factor))


def elsewhere(project, **other):
    """The baselines as if another torch, Python or device had made them."""
    for path in (project.path / "baselines").rglob("*.json"):
        text = path.read_text()
        for key, value in other.items():
            text, count = re.subn(rf'("{key}": ?)"[^"]*"', rf'\1"{value}"', text)
            assert count
        json.loads(text)
        path.write_text(text)


def notes(result):
    return [line for line in result.outlines if "by rounding" in line]


@pytest.fixture
def project(models):
    """Curves are compared by what an inner run cannot import twice."""
    return models


@pytest.fixture
def upgraded(project):
    write(project, "0.0")
    project.record()
    elsewhere(project, torch="1.0.0", python="3.0.0")
    write(project, "0.00001")
    return project


def test_one_line_for_all(upgraded, workers):
    result = upgraded.run("--initcheck-report=report/index.html", *workers)
    assert result.ret == 0
    (line,) = notes(result)
    told = r"note: 4 records differ from their baselines by rounding, recorded with torch 1\.0\.0, "
    assert re.match(told + r"python 3\.0\.0, now torch \S+, python \S+$", line)
    assert sum("by rounding" in note for note in upgraded.data()["notes"]) == 1


def test_none_where_all_is_equal_or_nothing_else_was_used(project):
    write(project, "0.0")
    project.record()
    write(project, "0.00001")
    assert notes(project.run()) == []
    elsewhere(project, torch="1.0.0")
    write(project, "0.000010")
    (line,) = notes(project.run())
    assert line.startswith("note: 4 records")
    write(project, "0.0000000")
    assert notes(project.run()) == []


def test_what_differs_by_more_is_not_counted(project):
    write(project, "0.0")
    project.record()
    elsewhere(project, torch="1.0.0")
    project.test(
        test_a=TESTS.replace("1.0 + i + FACTOR", "1.0 + 2 * i").replace("FACTOR", "0.00001")
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (line,) = notes(result)
    assert line.startswith("note: 1 record differs from its baseline by rounding, ")


@pytest.mark.parametrize(
    ("was", "now", "agree"),
    [
        ("2.9.1", "2.9.1", True),
        ("2.9.1+cu128", "2.9.1", True),
        ("2.9.1+cu128", "2.9.1+cpu", False),
        ("2.9.1", "2.9.2", False),
        ("cpu, cuda", "cuda", True),
        ("cpu", "cuda", False),
    ],
)
def test_which_environments_are_one(was, now, agree):
    expected = RunRecord(metrics={"a": (1.0,)})
    key = "device" if was[0] == "c" else "torch"
    comparison = Comparison(status="match", expected=expected, provenance={key: was})
    meta = {"device": now} if key == "device" else {}
    record = RunRecord(metrics={"a": (1.00001,)}, meta=meta)
    entry = Entry(name="m", kind="metrics", record=record, comparison=comparison)
    test = TestRecord(nodeid="a", entries=(entry,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "provenance", lambda: {"torch": now, "python": "3"})
        assert bool(module.rounding_notes([test])) != agree


def test_an_update_after_an_upgrade_keeps_the_old_records_beside_the_new(upgraded):
    upgraded.record()
    result = upgraded.run()
    assert "baselines: 4 match (bit-identical)" in result.outlines
    assert notes(result) == []
    text = (upgraded.path / "baselines/test_a.json").read_text()
    assert text.count('"environments"') == text.count('"cpu torch 1.0"') == 4


@pytest.mark.parametrize(
    ("value", "environment", "bits", "is_told"),
    [
        (1.5, "cpu torch 1.0", None, True),
        (1.5, "", None, False),
        (1.5, "cpu torch 1.0", False, False),
        (1.00001, "cpu torch 1.0", None, False),
    ],
)
def test_what_is_held_against_another_environment_is_said_once(value, environment, bits, is_told):
    expected = RunRecord(metrics={"a": (1.0,)})
    comparison = Comparison(
        status="match", expected=expected, environment=environment, bit_identical=bits
    )
    record = RunRecord(metrics={"a": (value,)}, meta={"device": "cuda", "capability": "sm_90"})
    entry = Entry(name="m", kind="metrics", record=record, comparison=comparison)
    told = module.nearest_notes([TestRecord(nodeid=i, entries=(entry,)) for i in "ab"])
    assert len(told) == is_told
    assert all(
        line.startswith("2 records are compared with baselines of cpu torch 1.0, as there are none")
        and " cuda sm_90 torch " in line
        for line in told
    )
