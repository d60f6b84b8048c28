"""``initcheck mutate``: which tests notice a planted fault, by running them for real."""

from __future__ import annotations

import json

import pytest
from support.stored_runs import command

from pytest_initcheck.cli import main

TESTS = """
import torch
from torch import nn
from pytest_initcheck import diagnose

def batch():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 8, generator=generator)
    return x, torch.arange(64) % 4

def net():
    torch.manual_seed(0)
    first, last = [nn.Linear(8, 32), nn.ReLU()], [nn.ReLU(), nn.Linear(32, 4)]
    return nn.Sequential(*first, nn.Linear(32, 32), *last)

def test_start():
    assert diagnose(net(), batch()).verdict == "pass"

def test_shape():
    assert net()(batch()[0]).shape == (64, 4)

def test_that_fails_anyway():
    assert False
"""


@pytest.fixture
def mutate(tmp_path, monkeypatch, capsys, quick_python):
    """Runs the command in a project of its own; its status, what it printed, and errors."""
    (tmp_path / "test_it.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        # The runs of pytest that it starts are processes of their own.
        status = main(["mutate", *arguments])
        said = capsys.readouterr()
        return status, said.out, said.err

    run.folder = tmp_path
    return run


def test_it_tells_who_notices_and_who_does_not(mutate):
    status, out, _ = mutate("test_it.py", "--fault", "nan", "--fault", "zero", "--json")

    told = json.loads(out)
    assert status == 0
    assert told["share"] == 1
    assert told["tests"] == ["test_it.py::test_shape", "test_it.py::test_start"]
    by_name = {fault["fault"]: fault for fault in told["faults"]}
    assert by_name["nan"]["noticed"] == by_name["zero"]["noticed"] == ["test_it.py::test_start"]
    assert by_name["nan"]["planted"] == 2
    assert {path.name for path in mutate.folder.iterdir()} - {"__pycache__"} == {
        "test_it.py",
        "pytest.ini",
    }


def test_too_few_that_are_noticed_end_with_1(mutate):
    asked = "--fault", "frozen", "--report", "page.html"
    status, out, _ = mutate(*asked, "--", "test_it.py", "-k", "shape")

    assert status == 1
    (test,) = json.loads((mutate.folder / "run.json").read_text())["tests"]
    (entry,) = test["entries"]
    assert (entry["kind"], entry["verdict"]) == ("mutation", "fail")
    assert entry["record"]["noticed"] == {"frozen": []}
    assert "Which tests notice a planted fault" in (mutate.folder / "page.html").read_text()
    assert "frozen  1 model     none        hidden weights take no gradient" in out
    assert "0% of the faults that have a place were noticed" in out
    assert "noticed by no test: frozen" in out
    assert "tests that notice none of them: 1 of 1" in out


def test_options_may_stand_between_the_tests_and_what_goes_to_pytest(mutate):
    status, out, _ = mutate("test_it.py", "--fault", "nan", "--", "-k", "start or shape")

    assert status == 0
    assert "nan    2 models    1 test" in out


def test_without_a_test_that_passes_there_is_nothing_to_ask(mutate):
    status, _, err = mutate("--", "test_it.py", "-k", "anyway")

    assert status == 2
    assert "no test passes without a fault" in err


def test_what_pytest_refuses_is_told(mutate):
    status, _, err = mutate("no_such_file.py")

    assert status == 2
    assert "no test passes" in err or "did not run" in err


def test_the_faults_of_the_command_are_those_that_there_are():
    from pytest_initcheck.cli.parser import FAULTS as named
    from pytest_initcheck.mutation import FAULTS

    assert named == tuple(fault.name for fault in FAULTS)


@pytest.mark.parametrize("share", ["1.5", "-0.1", "nan", "half"])
def test_a_share_is_from_none_to_all(capsys, share):
    code, _, err = command(capsys, "mutate", f"--least={share}")
    assert (code, f"'{share}' is not a share from 0 to 1" in err) == (2, True)
