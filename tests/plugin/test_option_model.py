"""--initcheck-model: tests of models without a test file."""

from __future__ import annotations

import pytest

MODELS = """
import torch
from torch import nn

def good(width=20):
    return nn.Sequential(nn.Linear(width, 32), nn.ReLU(), nn.Linear(32, 5))

def zero():
    model = good()
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model

def boom():
    raise RuntimeError("no weights here")
"""
GOOD, ZERO = "--initcheck-model=zoo_of_option:good", "--initcheck-model=zoo_of_option:zero"
PLAIN = "def test_plain(): pass"


@pytest.fixture
def zoo(models):
    models.write(zoo_of_option=MODELS)
    models.test(test_a=PLAIN)
    return models


def test_a_model_is_a_test_in_each_way_to_run_tests(zoo, workers):
    result = zoo.run(GOOD, ZERO, "--initcheck-report=report/index.html", *workers)
    result.assert_outcomes(passed=1, failed=1)
    assert ("initcheck::zoo_of_option:zero", "IC101") in zoo.findings()
    assert {test["nodeid"] for test in zoo.data()["tests"]} == {
        "initcheck::zoo_of_option:good",
        "initcheck::zoo_of_option:zero",
    }


def test_without_paths_nothing_else_runs_with_them_all_do(zoo):
    zoo.run(GOOD).assert_outcomes(passed=1)
    zoo.run(GOOD, "test_a.py").assert_outcomes(passed=2)
    zoo.run().assert_outcomes(passed=1)


def test_it_needs_no_baseline_and_writes_none(zoo):
    assert zoo.run(GOOD, "--initcheck-update").ret == 0
    assert not (zoo.path / "baselines").exists()


def test_the_same_model_twice_is_one_test(zoo):
    zoo.run(GOOD, GOOD).assert_outcomes(passed=1)


def test_a_callable_takes_arguments(zoo):
    result = zoo.run(f"{GOOD} width=7", "-rA")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["guessed: inputs float32 (32, 7) (0, a Linear); 5 classes*"])


def test_it_is_selected_as_other_tests_are(zoo):
    zoo.run(GOOD, ZERO, "-k", "good").assert_outcomes(passed=1, deselected=1)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("zoo_of_option:boom", "boom() raised RuntimeError: no weights here"),
        ("zoo_of_option:none", "'zoo_of_option' has no 'none'; it has good, zero, boom"),
        ("good", "'good': pass MODULE:FACTORY"),
    ],
)
def test_what_cannot_be_made_fails_with_one_line(zoo, target, said):
    result = zoo.run(f"--initcheck-model={target}")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *{said}*"])


def test_an_empty_target_is_refused(zoo):
    result = zoo.run("--initcheck-model=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--initcheck-model is empty: give a model*"])
