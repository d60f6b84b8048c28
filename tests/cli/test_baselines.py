"""``initcheck baselines …`` and ``initcheck report``: from stored runs, with pytest's settings."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
from support.baseline import PROVENANCE, kaiming, network
from support.stored_runs import X, Y, command, content, run_of, store

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.baseline.schema import rounded
from pytest_initcheck.records import Entry, RunRecord, TestRecord

# diff


def test_diff_of_an_equal_run(project, capsys):
    path = store(project / "ci", run_of(network(0)))
    assert command(capsys, "baselines", "diff", path) == (0, "2 match\n", "")


def test_diff_shows_a_table_and_the_command(project, capsys):
    path = store(project / "ci", run_of(network(1, init=kaiming), "failed"))
    before = content(project)
    code, out, err = command(capsys, "baselines", "diff", path)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    assert lines[0] == X
    assert lines[1].startswith("  changed: 'diagnosis' is not as in its baseline")
    assert "weights.weight std" in out
    assert f"accept: pytest {X} --initcheck-update" in out
    assert lines[-1] == "1 match, 1 changed"
    assert content(project) == before


def test_diff_tells_missing_and_obsolete(project, capsys):
    session = run_of(network(0))
    renamed = dataclasses.replace(session.tests[0].entries[0], name="other")
    first = dataclasses.replace(session.tests[0], entries=(renamed,))
    path = store(project / "ci", dataclasses.replace(session, tests=(first, *session.tests[1:])))
    code, out, _ = command(capsys, "baselines", "diff", path)
    assert code == 1
    assert out.splitlines()[-1] == "1 match, 1 missing, 1 obsolete"


def test_diff_takes_the_last_report_and_a_folder(project, capsys):
    code, out, err = command(capsys, "baselines", "diff")
    assert (code, out) == (2, "")
    assert "there is no stored run; run pytest, which leaves one in its cache" in err
    store(project / "initcheck-report", run_of(network(0)))
    assert command(capsys, "baselines", "diff")[:2] == (0, "2 match\n")
    assert command(capsys, "baselines", "diff", "initcheck-report")[:2] == (0, "2 match\n")


def test_diff_and_accept_find_the_last_session(project, capsys, monkeypatch, quick_python):
    (project / "suites/test_a.py").write_text(
        "def test_z(initcheck): initcheck.compare('m', {'a': 3.0})\n"
    )
    words = [sys.executable, "-m", "pytest", "-q", "-p", "pytest_initcheck.plugin"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    subprocess.run(words, check=False, capture_output=True, env=environment)
    monkeypatch.chdir(project / "suites")
    assert command(capsys, "baselines", "diff")[1].splitlines()[-1] == "1 missing"
    assert command(capsys, "baselines", "accept")[1].splitlines()[-1] == "1 created"
    assert command(capsys, "baselines", "diff")[:2] == (0, "1 match\n")


def test_diff_takes_the_newest_of_the_stored_runs(project, capsys):
    store(project / "initcheck-report", run_of(network(1, init=kaiming), "failed"))
    cached = store(project / ".pytest_cache/v/initcheck", run_of(network(0)))
    os.utime(cached, (2e9, 2e9))
    assert command(capsys, "baselines", "diff")[:2] == (0, "2 match\n")
    os.utime(cached, (1, 1))
    assert command(capsys, "baselines", "diff")[0] == 1


def test_diff_as_data(project, capsys):
    path = store(project / "ci", run_of(network(1, init=kaiming), "failed"))
    code, out, _ = command(capsys, "baselines", "diff", path, "--json")
    data = json.loads(out)
    assert (code, data["counts"]) == (1, {"changed": 1, "match": 1})
    changed = data["entries"][0]
    assert (changed["nodeid"], changed["entry"], changed["status"]) == (X, "diagnosis", "changed")
    assert changed["differences"][0]["excess"] > 1


def test_diff_uses_the_tolerance_that_the_test_itself_used(project, capsys):
    baselines, session = Baselines("stored"), run_of(network(0))
    record = RunRecord(metrics={"a": (1.2,)})
    found = baselines.compare(Y, "m", record, rtol=0.5)
    entry = Entry(name="m", kind="metrics", record=record, comparison=found)
    tests = (session.tests[0], TestRecord(nodeid=Y, entries=(entry,)))
    path = store(project / "ci", dataclasses.replace(session, tests=tests))
    assert command(capsys, "baselines", "diff", path)[:2] == (0, "2 match\n")
    baselines.update(
        [
            TestRecord(
                nodeid=Y,
                entries=(Entry(name="m", kind="m", record=RunRecord(metrics={"a": (9.0,)})),),
            )
        ],
        {},
    )
    assert command(capsys, "baselines", "diff", path)[0] == 1


# accept


def test_accept_takes_a_run_from_ci_as_it_is(project, capsys):
    session = run_of(network(1, init=kaiming), "failed")
    path = store(project / "ci", session)
    code, out, err = command(capsys, "baselines", "accept", path)
    assert (code, err) == (0, "")
    assert "stored/suites/test_a.json" in out
    assert out.splitlines()[-1] == "1 updated, 1 unchanged"
    assert command(capsys, "baselines", "diff", path)[0] == 0
    assert command(capsys, "baselines", "accept", path)[1] == "2 unchanged\n"


def test_accept_only(project, capsys):
    session = run_of(network(1, init=kaiming))
    path = store(project / "ci", session)
    before = content(project)
    assert command(capsys, "baselines", "accept", path, "--only", "test_y[1]")[1] == "1 unchanged\n"
    assert content(project) == before
    code, _, err = command(capsys, "baselines", "accept", path, "--only", "nothing")
    assert (code, "no compared test matches --only 'nothing'" in err) == (2, True)
    code, out, _ = command(capsys, "baselines", "accept", path, "--only", "suites/*::test_x")
    assert (code, out.splitlines()[-1]) == (0, "1 updated")


def test_accept_leaves_what_was_not_compared(project, capsys):
    session = run_of(network(0))
    uncompared = dataclasses.replace(session.tests[0].entries[0], comparison=None)
    tests = (dataclasses.replace(session.tests[0], entries=(uncompared,)),)
    path = store(project / "ci", dataclasses.replace(session, tests=tests))
    before = content(project)
    for action in ("accept", "diff"):
        code, _, err = command(capsys, "baselines", action, path)
        assert (code, "no test of this run was compared" in err) == (2, True)
    assert content(project) == before


def test_accept_does_not_replace_a_baseline_that_cannot_be_read(project, capsys):
    path = store(project / "ci", run_of(network(0)))
    (project / "stored/suites/test_a.json").write_text('{"format": 99}')
    code, out, err = command(capsys, "baselines", "accept", path)
    assert (code, out) == (2, "")
    assert "test_a.json:1: " in err
    assert content(project) == {"test_a.json": b'{"format": 99}'}


@pytest.mark.parametrize("action", ["diff", "accept"])
@pytest.mark.parametrize("text", ["", "{", '{"format": 99}', "[]", '{"format": 1}'])
def test_a_run_that_cannot_be_read(project, capsys, action, text):
    (project / "run.json").write_text(text)
    code, out, err = command(capsys, "baselines", action, "run.json")
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert "run.json" in err


def test_a_run_that_is_not_there(project, capsys):
    code, _, err = command(capsys, "baselines", "accept", "nowhere/run.json")
    assert (code, err.count("\n"), "nowhere/run.json" in err) == (2, 1, True)


# list


def test_list(project, capsys):
    code, out, _ = command(capsys, "baselines", "list")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["test", "entry", "holds", "seeds", "device", "torch"]
    assert lines[1].startswith(X)
    assert "3 layers, 1 curve" in lines[1]
    assert "2.14.1" in lines[1]
    assert lines[2].startswith(Y)
    assert lines[-1].startswith("2 entries in 1 files below ")


def test_list_shows_ids_that_no_terminal_can(project):
    test = dataclasses.replace(run_of(network(0)).tests[1], nodeid="t\ud800\0.py::x[\ud800]")
    Baselines("stored").update([test], PROVENANCE)
    words = [sys.executable, "-m", "pytest_initcheck.cli", "baselines", "list"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "t\\ud800" in done.stdout


def test_list_as_data(project, capsys):
    code, out, _ = command(capsys, "baselines", "list", "--json")
    assert code == 0
    assert [(one["nodeid"], one["entry"]) for one in json.loads(out)] == [
        (X, "diagnosis"),
        (Y, "m"),
    ]


def test_show_prints_in_full_what_the_file_holds(project, capsys):
    code, out, _ = command(capsys, "baselines", "show", Y)
    assert code == 0
    assert out.splitlines()[0].endswith("test_a.json")
    assert '     "a": [1.0]' in out.splitlines()
    data = json.loads(command(capsys, "baselines", "show", X, "diagnosis", "--json")[1])
    assert list(data["tests"]) == ["test_x"]
    assert list(data["tests"]["test_x"]) == ["diagnosis"]
    mean = data["tests"]["test_x"]["diagnosis"]["before"]["layers"]["layers.0: weights.bias"][
        "mean"
    ]
    assert mean == rounded(network(0).before.layers[0].weights["bias"].mean)


@pytest.mark.parametrize(("words", "said"), [([X, "no"], "it has 'diagnosis'"), (["x"], "list")])
def test_show_of_what_is_not_there(project, capsys, words, said):
    code, out, err = command(capsys, "baselines", "show", *words)
    assert (code, out, said in err) == (2, "", True)


def test_list_of_nothing(project, capsys):
    code, out, _ = command(capsys, "baselines", "list", "--baselines", "empty")
    assert (code, out.splitlines()) == (0, [f"0 entries in 0 files below {project / 'empty'}"])


def test_list_of_a_baseline_that_cannot_be_read(project, capsys):
    (project / "stored/suites/test_a.json").write_text('{"format": 1,\n"tests": 3}')
    code, out, err = command(capsys, "baselines", "list")
    assert (code, out) == (2, "")
    assert "test_a.json:2: " in err


# Settings


def test_the_folder_is_that_of_pytest(project, capsys, monkeypatch):
    monkeypatch.chdir(project / "suites")
    assert f"below {project / 'stored'}" in command(capsys, "baselines", "list")[1]
    monkeypatch.chdir("/")
    said = command(capsys, "baselines", "list", "--rootdir", str(project))[1]
    assert f"below {project / 'stored'}" in said


def test_baselines_that_are_switched_off(project, capsys):
    (project / "pytest.ini").write_text("[pytest]\ninitcheck_baselines = off\n")
    code, _, err = command(capsys, "baselines", "list")
    assert (code, "switched off" in err) == (2, True)
    assert command(capsys, "baselines", "list", "--baselines", "stored")[0] == 0


def test_options_of_a_conftest_do_not_hinder(project, capsys):
    (project / "conftest.py").write_text(
        "def pytest_addoption(parser): parser.addoption('--mine', action='store_true')\n"
    )
    (project / "pytest.ini").write_text("[pytest]\ninitcheck_baselines=stored\naddopts=--mine\n")
    assert f"below {project / 'stored'}" in command(capsys, "baselines", "list")[1]


@pytest.mark.parametrize("content", ["[pytest", "[pytest]\naddopts = --no-such-option\n"])
def test_a_configuration_that_cannot_be_read(project, capsys, content):
    (project / "pytest.ini").write_text(content)
    code, _, err = command(capsys, "baselines", "list")
    assert code == 2
    assert err.startswith("initcheck: error: pytest cannot read its configuration here: ")


def test_a_root_that_is_not_there(project, capsys):
    code, _, err = command(capsys, "baselines", "list", "--rootdir", "nowhere")
    assert (code, "--rootdir nowhere: there is no such folder" in err) == (2, True)


# regenerate


def test_regenerate_runs_the_tests_and_returns_their_status(project, quick_python):
    (project / "suites/test_a.py").write_text(
        "def test_x(initcheck): initcheck.compare('m', {'a': 3.0})\ndef test_bad(): assert False\n"
    )

    def regenerate(*arguments: str) -> int:
        words = [sys.executable, "-m", "pytest_initcheck.cli", "baselines", "regenerate"]
        return subprocess.run([*words, *arguments, "-q"], check=False).returncode

    assert regenerate("suites", "-k", "test_x", "--baselines", "made") == 0
    made = json.loads((project / "made/suites/test_a.json").read_text())
    assert made["tests"]["test_x"]["m"]["metrics"] == {"a": [3.0]}
    assert regenerate("--baselines=made", "-k", "test_bad") == 1
    assert regenerate("no_such_file.py") == 4


# report, help


def test_report_writes_the_page_again(project, capsys):
    path = store(project / "ci", run_of(network(0)))
    code, out, _ = command(capsys, "report", path)
    assert (code, out) == (0, f"report: {project / 'ci/index.html'}\n")
    command(capsys, "report", "ci", "-o", "other/page.html")
    first, second = (project / "ci/index.html", project / "other/page.html")
    assert first.read_text() == second.read_text()
    assert first.read_text().startswith("<!")
    assert command(capsys, "report", "nowhere.json")[0] == 2


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["check"],
        ["baselines"],
        *(
            ["baselines", a]
            for a in ("regenerate", "diff", "accept", "list", "noise", "show", "prune", "resolve")
        ),
        ["report"],
    ],
    ids=lambda words: " ".join(words) or "initcheck",
)
def test_help_is_there_for_every_command(capsys, words):
    code, out, err = command(capsys, *words, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: initcheck")
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("words", [[], ["nothing"], ["baselines"], ["baselines", "x"], ["--x"]])
def test_a_command_that_is_none(capsys, words):
    code, out, err = command(capsys, *words)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1


def test_help_and_listing_import_nothing_heavy(project):
    program = (
        "import sys\nfrom pytest_initcheck.cli import main\n"
        "codes = [main(['--help']), main(['baselines', '--help']), main(['baselines', 'list'])]\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(f'{codes} {heavy}' if heavy or any(codes) else 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
