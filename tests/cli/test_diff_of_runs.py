"""``initcheck baselines diff A B``: two stored runs, test by test, as with baselines."""

import dataclasses
import json

import pytest
from support.baseline import kaiming, network
from support.stored_runs import X, Y, command, content, run_of, store

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import RunRecord, SessionRecord


def runs(project, before: SessionRecord, after: SessionRecord) -> list[str]:
    return [store(project / "a", before), store(project / "b", after)]


def with_metric(session: SessionRecord, value: float) -> SessionRecord:
    first, second = session.tests
    entry = dataclasses.replace(second.entries[0], record=RunRecord(metrics={"a": (value,)}))
    second = dataclasses.replace(second, entries=(entry,))
    return dataclasses.replace(session, tests=(first, second))


def test_two_runs_of_the_same(project, capsys):
    given = runs(project, run_of(network(0)), run_of(network(0)))
    assert command(capsys, "baselines", "diff", *given) == (0, "2 match\n", "")


def test_the_first_takes_the_place_of_the_baselines(project, capsys):
    before = content(project)
    given = runs(project, run_of(network(1, init=kaiming)), run_of(network(0)))
    code, out, err = command(capsys, "baselines", "diff", *given)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == X
    assert lines[1].startswith("  changed: 'diagnosis' is not as in its baseline")
    assert f"  baseline: {given[0]} (recorded with torch 2.14.1" in out
    assert "accept" not in out
    assert lines[-1] == "1 match, 1 changed"
    assert content(project) == before
    # The baselines would have matched.
    assert command(capsys, "baselines", "diff", given[1])[:2] == (0, "2 match\n")


def test_what_one_of_them_lacks(project, capsys):
    whole = run_of(network(0))
    part = dataclasses.replace(whole, tests=whole.tests[:1])
    first, second = runs(project, whole, part)
    code, out, _ = command(capsys, "baselines", "diff", first, second)
    told = [Y, f"  obsolete: 'm' is not in {second}", "1 match, 1 obsolete"]
    assert (code, out.splitlines()) == (1, told)
    code, out, _ = command(capsys, "baselines", "diff", second, first)
    told = [Y, f"  missing: 'm' is not in {second}", "1 match, 1 missing"]
    assert (code, out.splitlines()) == (1, told)


def test_two_runs_as_data(project, capsys):
    given = runs(project, run_of(network(0)), with_metric(run_of(network(0)), 2.0))
    code, out, _ = command(capsys, "baselines", "diff", *given, "--json")
    data = json.loads(out)
    assert (code, data["counts"]) == (1, {"match": 1, "changed": 1})
    (changed,) = (entry for entry in data["entries"] if entry["status"] == "changed")
    assert (changed["nodeid"], changed["entry"]) == (Y, "m")
    assert changed["differences"][0]["expected"] == "1"


def test_neither_project_nor_baselines_are_needed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    given = runs(tmp_path, run_of(network(0)), run_of(network(0)))
    folders = [path.removesuffix("/run.json") for path in given]
    found = command(capsys, "baselines", "diff", *folders, "--baselines", "off")
    assert found == (0, "2 match\n", "")


@pytest.mark.parametrize("against", ["run", "baselines"])
def test_the_tolerances_of_the_project_hold(project, capsys, against):
    given = runs(project, run_of(network(0)), with_metric(run_of(network(0)), 1.05))
    words = given if against == "run" else given[1:]
    assert command(capsys, "baselines", "diff", *words)[0] == 1
    ini = "[pytest]\ninitcheck_baselines = stored\ninitcheck_tolerance = metric a: 0.1\n"
    (project / "pytest.ini").write_text(ini)
    assert command(capsys, "baselines", "diff", *words)[0] == 0


def test_three_runs_are_too_many(project, capsys):
    code, out, err = command(capsys, "baselines", "diff", "a", "b", "c")
    assert (code, out) == (2, "")
    assert "3 runs: pass one, or two that are compared" in err


def test_what_a_test_found_of_its_baseline_says_nothing_of_an_earlier_run(project, capsys):
    before, after = run_of(network(0)), run_of(network(1, init=kaiming))
    test, *others = after.tests
    (entry,) = test.entries
    # The earlier run is as the baseline was, with which the test compared itself.
    found = Baselines("stored").compare(X, entry.name, entry.record)
    entry = dataclasses.replace(entry, comparison=found)
    test = dataclasses.replace(test, entries=(entry,))
    later = dataclasses.replace(after, tests=(test, *others))
    given = runs(project, before, later)
    code, out, _ = command(capsys, "baselines", "diff", *given)
    assert code == 1
    assert f"baseline: {given[0]} " in out
    assert "stored" not in out
