"""``initcheck baselines prune``: what is gone goes, and nothing that is only not here."""

import json

import pytest
from support.baseline import PROVENANCE, network
from support.stored_runs import X, Y, command, content, run_of

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import TestRecord

pytestmark = pytest.mark.usefixtures("quick_python")


def test_prune_deletes_only_what_cannot_be_collected(project, capsys):
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, out) == (0, "0 of 2 tests with baselines are gone\n")
    source = (project / "suites/test_a.py").read_text()
    (project / "suites/test_a.py").write_text(source.replace("test_x", "test_renamed"))
    before = content(project)
    code, out, _ = command(capsys, "baselines", "prune", "--dry-run")
    assert out.splitlines()[0] == f"would delete {X}"
    assert content(project) == before
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, out.splitlines()[0]) == (0, f"deleted {X}")
    assert Baselines("stored").entries(Y) == ("m",)


def test_prune_deletes_the_file_of_a_test_file_that_is_gone(project, capsys):
    (project / "suites/test_a.py").unlink()
    assert command(capsys, "baselines", "prune")[0] == 0
    assert content(project) == {}


@pytest.mark.parametrize(
    ("source", "ini", "said"),
    [
        ("import a_module_that_is_not_there", "", "suites/test_a.py could not be collected"),
        ("def test_z(): pass", "addopts = -k test_q", "deselect 1 tests"),
        ("def test_z(): pass", "addopts = --no-such-option", "pytest cannot read"),
    ],
)
def test_prune_refuses_after_a_collection_that_is_not_whole(project, capsys, source, ini, said):
    (project / "suites/test_a.py").write_text(source)
    (project / "pytest.ini").write_text(f"[pytest]\ninitcheck_baselines = stored\n{ini}\n")
    before = content(project)
    code, _, err = command(capsys, "baselines", "prune")
    assert (code, said in err) == (2, True), err
    assert content(project) == before


def test_prune_keeps_the_tests_of_a_file_that_is_skipped_here(project, capsys):
    (project / "suites/test_a.py").write_text(
        "import pytest\npytest.skip('no gpu', allow_module_level=True)\n"
    )
    before = content(project)
    code, out, _ = command(capsys, "baselines", "prune")
    assert code == 0
    assert "kept suites/test_a.py" in out
    assert content(project) == before


def test_prune_keeps_the_parameters_that_are_not_collected_here(project, capsys):
    source = (project / "suites/test_a.py").read_text()
    (project / "suites/test_a.py").write_text(source.replace("'k', [1]", "'k', [2]"))
    before = content(project)
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, content(project)) == (0, before)
    assert f"kept {Y}: not collected here, but its function is" in out
    code, out, _ = command(capsys, "baselines", "prune", "--variants")
    assert out.splitlines()[0] == f"deleted {Y}"


def test_prune_keeps_a_test_that_is_defined_under_a_condition(project, capsys):
    source = (project / "suites/test_a.py").read_text()
    hidden = source.replace("def test_x(): pass", "if False:\n    def test_x(): pass")
    (project / "suites/test_a.py").write_text(hidden)
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, "its file defines a function of that name" in out) == (0, True)
    assert Baselines("stored").entries(X) == ("diagnosis",)


@pytest.mark.parametrize("path", ["suites/my_outside/test_b.py", "test_v1.0.py"])
def test_prune_keeps_the_tests_of_odd_names(project, capsys, path):
    (project / path).parent.mkdir(exist_ok=True)
    (project / path).write_text("def test_x(): pass\n")
    (project / "pytest.ini").write_text(
        "[pytest]\ninitcheck_baselines = stored\naddopts = --import-mode=importlib\n"
    )
    nodeid = f"{path}::test_x"
    tests = [TestRecord(nodeid=nodeid, entries=run_of(network(0)).tests[0].entries)]
    Baselines("stored").update(tests, PROVENANCE)
    for file in (project / "stored").rglob("*.json"):  # As an older version wrote it.
        lines = file.read_text().splitlines(True)
        file.write_text("".join(line for line in lines if '"path"' not in line))
    before = content(project)
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, out) == (0, "0 of 3 tests with baselines are gone\n")
    assert content(project) == before


def test_prune_leaves_what_lies_outside_of_the_root(project, capsys):
    tests = [TestRecord(nodeid="../gone/test_b.py::t", entries=run_of(network(0)).tests[0].entries)]
    Baselines("stored").update(tests, PROVENANCE)
    code, out, _ = command(capsys, "baselines", "prune")
    assert (code, "kept ../gone/test_b.py::t: its file lies outside" in out) == (0, True)


def test_prune_as_data(project, capsys):
    source = (project / "suites/test_a.py").read_text()
    (project / "suites/test_a.py").write_text(
        source.replace("test_x", "test_new").replace("'k', [1]", "'k', [2]")
    )
    code, out, _ = command(capsys, "baselines", "prune", "--dry-run", "--json")
    data = json.loads(out)
    assert (code, data["gone"], list(data["kept"]), data["deleted"]) == (0, [X], [Y], False)
