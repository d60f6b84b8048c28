"""``initcheck baselines accept``: files, folders, archives; asked at a terminal; nothing sick."""

import dataclasses
import io
import json
import sys
import zipfile

import pytest
from support.baseline import kaiming, network
from support.stored_runs import X, Y, command, content, run_of, store

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import RunRecord, SessionRecord


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def only(session: SessionRecord, *nodeids: str) -> SessionRecord:
    tests = tuple(test for test in session.tests if test.nodeid in nodeids)
    return dataclasses.replace(session, tests=tests)


def changed() -> SessionRecord:
    return run_of(network(1, init=kaiming), "failed")


def test_a_zip_as_ci_stores_it(project, capsys):
    store(project / "ci", changed())
    with zipfile.ZipFile(project / "ci.zip", "w") as archive:
        archive.write(project / "ci/run.json", "job 1/report/run.json")
        archive.writestr("job 1/report/index.html", "<p>")
    code, out, err = command(capsys, "baselines", "accept", "ci.zip")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "1 updated, 1 unchanged"
    assert command(capsys, "baselines", "diff", "ci/run.json")[:2] == (0, "2 match\n")


def test_the_runs_of_a_matrix_are_merged(project, capsys):
    store(project / "matrix/a/report", only(changed(), X))
    other = only(run_of(network(0)), Y)
    (test,) = other.tests
    entry = dataclasses.replace(test.entries[0], record=RunRecord(metrics={"a": (9.0,)}))
    other = dataclasses.replace(other, tests=(dataclasses.replace(test, entries=(entry,)),))
    store(project / "matrix/b/report", other)
    last = store(project / "last", changed())
    code, out, _ = command(capsys, "baselines", "accept", "matrix", last)
    assert (code, out.splitlines()[-1]) == (0, "2 updated")
    assert "in several runs, taken from the first: 2 test" in out
    assert Baselines("stored").stored(Y, "m").record.metrics == {"a": (9.0,)}


@pytest.mark.parametrize("what", ["no zip", "empty", "bomb"])
def test_an_archive_that_holds_no_run(project, capsys, what):
    with zipfile.ZipFile(project / "ci.zip", "w") as archive:
        archive.writestr("x/run.json" if what == "bomb" else "y", "{" if what == "bomb" else "")
    if what == "no zip":
        (project / "ci.zip").write_bytes(b"PK\x03\x04")
    before = content(project)
    code, out, err = command(capsys, "baselines", "accept", "ci.zip")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert content(project) == before


@pytest.mark.parametrize(
    ("answer", "words", "is_written"),
    [
        ("n\n", [], False),
        ("\n", [], False),
        ("y\n", [], True),
        ("", ["--yes"], True),
    ],
)
def test_a_terminal_is_asked(project, capsys, monkeypatch, answer, words, is_written):
    path, before = store(project / "ci", changed()), content(project)
    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    code, out, _ = command(capsys, "baselines", "accept", path, *words)
    assert out.splitlines()[1].startswith("  changed: 'diagnosis' is not as in its baseline")
    assert ("write this into the baselines?" in out) == (not words)
    assert (code, content(project) != before) == (0 if is_written else 1, is_written)


def test_nothing_is_asked_without_a_terminal(project, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    code, out, _ = command(capsys, "baselines", "accept", store(project / "ci", changed()))
    assert (code, out.splitlines()[-1]) == (0, "1 updated, 1 unchanged")


def test_an_unhealthy_start_needs_a_reason(project, capsys):
    session = changed()
    sick = dataclasses.replace(session.tests[0].entries[0], verdict="fail")
    tests = (dataclasses.replace(session.tests[0], entries=(sick,)), session.tests[1])
    path = store(project / "ci", dataclasses.replace(session, tests=tests))
    before = content(project)
    code, out, _ = command(capsys, "baselines", "accept", path)
    assert (code, out.splitlines()[-1]) == (1, "1 unchanged, 1 refused")
    assert f"refused {X}: 'diagnosis': its start is not healthy" in out
    assert "--allow-unhealthy=REASON" in out
    assert content(project) == before
    assert command(capsys, "baselines", "accept", path, "--allow-unhealthy", " ")[0] == 2
    words = ("--allow-unhealthy", "as in the paper", "--json")
    code, out, _ = command(capsys, "baselines", "accept", path, *words)
    assert (code, json.loads(out)["counts"]["updated"]) == (0, 1)
    assert Baselines("stored").stored(X, "diagnosis").provenance["allowed"] == "as in the paper"


@pytest.mark.parametrize("as_data", [False, True])
def test_what_guards_little_is_told(project, capsys, as_data):
    session = only(run_of(network(0)), Y)
    (test,) = session.tests
    flat = RunRecord(curves={"accuracy": ((1.0,) * 3,)})
    entry = dataclasses.replace(test.entries[0], record=flat)
    test = dataclasses.replace(test, entries=(entry,))
    path = store(project / "ci", dataclasses.replace(session, tests=(test,)))
    code, out, _ = command(capsys, "baselines", "accept", path, *["--json"] * as_data)
    told = json.loads(out)["doubts"] if as_data else out.splitlines()
    assert code == 0
    assert any(f"{Y}: 'm': curve 'accuracy' is 1 at each of its 3 points" in line for line in told)


def on(session: SessionRecord, gain: float, **provenance: str) -> SessionRecord:
    """The same tests, as another environment records them."""
    record = network(0, gain=gain)
    before = run_of(
        dataclasses.replace(record, meta=record.meta | {"device": provenance["device"]})
    )
    return dataclasses.replace(
        session, tests=before.tests, provenance=session.provenance | provenance
    )


def test_a_matrix_of_environments_becomes_one_entry_with_all_of_them(project, capsys):
    gpu = {"device": "cuda", "capability": "sm_90", "torch": "2.14.1"}
    runs = {"a": on(changed(), 1.5, **gpu), "b": on(changed(), 2.0, device="cpu", torch="2.15.0")}
    for name, run in runs.items():
        store(project / "matrix" / name, run)
    code, out, _ = command(capsys, "baselines", "accept", "matrix")
    assert (code, "several runs" in out) == (0, False)
    listed = json.loads(command(capsys, "baselines", "list", "--json")[1])
    known = [one["environment"] for one in listed if one["nodeid"] == X]
    assert known == ["cpu torch 2.14", "cpu torch 2.15", "cuda sm_90 torch 2.14"]
    for name in runs:
        found = json.loads(command(capsys, "baselines", "diff", f"matrix/{name}", "--json")[1])
        assert [entry["status"] for entry in found["entries"]] == ["match", "match"]
        assert found["entries"][0]["bit_identical"] is True
    shown = json.loads(command(capsys, "baselines", "show", X, "--json")[1])
    assert list(shown["tests"]["test_x"]["diagnosis"]["environments"]) == known
    code, out, _ = command(capsys, "baselines", "prune", "--environment", "cuda")
    assert (code, out.splitlines()[-1]) == (0, "1 records are of 'cuda'")
    assert command(capsys, "baselines", "prune", "--environment", " ")[0] == 2
    left = json.loads(command(capsys, "baselines", "prune", "--environment", "cpu", "--json")[1])
    assert left["deleted"]
    assert len(left["gone"]) == 3


def test_accepting_writes_what_an_update_would_have_written(project, capsys, tmp_path):
    run = on(changed(), 2.0, device="cuda", torch="2.15.0")
    store(project / "ci", run)
    before = content(project)
    command(capsys, "baselines", "accept", "ci")
    accepted = content(project)
    (project / "stored/suites/test_a.json").write_bytes(before["test_a.json"])
    Baselines("stored").update(run.tests, run.provenance)
    assert content(project) == accepted != before
