"""``initcheck baselines noise``: a test, run again with its seeds and with others."""

import json

import pytest
from support.stored_runs import command, content

from pytest_initcheck import report
from pytest_initcheck.cli import noise
from pytest_initcheck.records import Entry, RunRecord, SessionRecord, TestRecord

TEST = "suites/test_a.py::test_z"


@pytest.fixture
def measured(monkeypatch):
    """What the runs of a measurement give, in their order, in place of running anything."""

    def give(*runs: SessionRecord) -> None:
        left = iter(runs)
        monkeypatch.setattr(noise, "_run", lambda *_: next(left))

    return give


def session(value: float, outcome: str = "passed") -> SessionRecord:
    entry = Entry(name="m", kind="metrics", record=RunRecord(metrics={"a": (value,)}))
    test = TestRecord(nodeid=TEST, outcome=outcome, entries=(entry,))
    return SessionRecord(report.FORMAT, {}, (test,))


def test_other_seeds_move_what_is_drawn_and_baselines_stay(project, capsys, quick_python):
    (project / "suites/test_a.py").write_text(
        "import random\n"
        "def test_z(initcheck):\n"
        "    random.seed(3)\n"
        "    initcheck.compare('m', {'drawn': 1 + random.random(), 'fixed': 2.0})\n"
    )
    before = content(project)
    code, out, err = command(capsys, "baselines", "noise", TEST, "--seeds", "2", "--json")
    assert (code, err) == (0, "")
    data = json.loads(out)
    (entry,) = data["entries"]
    drawn, fixed = entry["quantities"]
    assert (entry["nodeid"], entry["entry"], data["seeds"]) == (TEST, "m", 2)
    assert (drawn["name"], drawn["same"]["moved"]) == ("metric drawn", 0.0)
    assert drawn["other"]["moved"] > 0.01 > drawn["other"]["tolerated"] > 0
    assert drawn["other"]["changed"] == 1
    assert (fixed["name"], fixed["other"]["moved"]) == ("metric fixed", 0.0)
    assert content(project) == before
    assert not (project / ".pytest_cache").exists()


def test_the_table_tells_what_is_tolerated(project, capsys, measured):
    measured(*map(session, (1.0, 1.0, 1.0, 1.02, 1.1)))
    code, out, _ = command(capsys, "baselines", "noise", TEST, "--seeds", "3")
    first, head, row, last = out.splitlines()
    assert (code, first) == (0, f"{TEST}: 'm'")
    assert head.split("  ")[1] == "what"
    told = "metric a 1 0 % 0.01 % 10 % 0.01 % changed: 3 of 3 pairs with other seeds"
    assert " ".join(row.split()) == told
    assert last == (
        "called changed: 0 of 1 numbers with the same seeds, 1 with other seeds (3 runs each)"
    )


def test_numbers_that_vary_without_cause_are_found(project, capsys, measured):
    measured(session(1.0), session(1.1), session(1.0))
    code, out, _ = command(capsys, "baselines", "noise", TEST, "--seeds", "2")
    assert code == 1
    assert "1 of 1 pairs with same seeds" in out
    assert "other seeds move nothing" in out


def test_runs_that_fail_are_told(project, capsys, measured):
    measured(session(1.0), session(1.0), session(1.2, "failed"))
    out = command(capsys, "baselines", "noise", TEST, "--seeds", "2")[1]
    assert "with other seeds the test failed in 1 of 2 runs" in out
    assert "with the same seeds the test failed" not in out


def test_a_test_that_is_not_there(project, capsys, quick_python):
    code, out, err = command(capsys, "baselines", "noise", "suites/test_a.py::no", "--seeds", "2")
    assert (code, out) == (2, "")
    assert "nothing was recorded: " in err


@pytest.mark.parametrize("seeds", ["1", "0", "x"])
def test_one_run_has_no_spread(capsys, seeds):
    code, _, err = command(capsys, "baselines", "noise", TEST, "--seeds", seeds)
    assert (code, "is not a whole number from " in err) == (2, True)
