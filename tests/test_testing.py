"""pytest_initcheck.testing: what it takes to test checks of one's own."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys

import pytest
import torch
from torch import nn

from pytest_initcheck import Finding, InitcheckError, diagnose
from pytest_initcheck.checks import Rule
from pytest_initcheck.testing import (
    assert_complete,
    assert_silent,
    judged,
    sound_starts,
)

RULE = Rule(
    id="ACME1",
    title="weights larger than we want",
    cause="a weight is larger than we ever want one to be",
    limit="10 in absolute value",
    reference="our style guide",
    quantity="largest weight of a layer",
    remedy="draw the weights smaller",
    severities=("error",),
)


class NoHugeWeights:
    name = "acme"
    rules = (RULE,)

    def run(self, evidence):
        for name, parameter in evidence.start.parameters.items():
            largest = parameter.stats.max if parameter.stats is not None else None
            if largest is not None and largest > 10:
                yield RULE.found(
                    self.name,
                    "error",
                    [name],
                    "largest weight",
                    measured=largest,
                    limit=10.0,
                )


class Noisy(NoHugeWeights):
    def run(self, evidence):
        yield RULE.found(self.name, "warning", [], "noise", measured=2.0, limit=1.0)


def linear(value=0.1):
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    with torch.no_grad():
        model.weight[0, 0] = value
    return model, (torch.randn(32, 4), torch.randint(0, 3, (32,)))


def test_one_check_is_judged_alone():
    assert judged(NoHugeWeights(), *linear()) == []
    (finding,) = judged(NoHugeWeights(), *linear(20.0))
    assert (finding.id, finding.layer, finding.measured) == ("ACME1", "weight", 20.0)


def test_or_beside_the_built_in_ones():
    model, batch = linear(20.0)
    nn.init.zeros_(model.weight)
    model.weight.data[0, 0] = 20.0
    alone = {finding.id for finding in judged(NoHugeWeights(), model, batch)}
    both = {finding.id for finding in judged(NoHugeWeights(), model, batch, builtin=True)}
    assert alone == {"ACME1"} <= both


def test_options_go_to_the_diagnosis():
    model, batch = linear(20.0)
    assert judged(NoHugeWeights(), model, batch, ignore="ACME1: we like it", steps=2) == []


def test_what_is_no_check_is_refused():
    with pytest.raises(InitcheckError, match="a check is an object with a name"):
        judged(NoHugeWeights, *linear())


@pytest.mark.parametrize("start", sound_starts(), ids=lambda start: start.name)
def test_sound_starts_are_sound_and_always_the_same(start):
    state = torch.get_rng_state()
    model, batch = start.made()
    assert torch.equal(torch.get_rng_state(), state)
    diagnosis = diagnose(model, batch, **start.options)
    assert diagnosis.findings == []
    again, _ = start.made()
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def test_silence_is_asserted():
    assert len(sound_starts()) >= 8
    assert_silent(NoHugeWeights())
    with pytest.raises(AssertionError, match="a sound start is not silent:\ndense, ReLU") as told:
        assert_silent(Noisy())
    assert str(told.value).count("noise 2, allowed at most 1") == len(sound_starts())
    assert_silent(Noisy(), sound_starts()[:1], ignore="ACME1: a noise is wanted")


def test_a_complete_check():
    assert_complete(NoHugeWeights())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"limit": " ", "remedy": ""}, "'ACME1': limit is empty\n'ACME1': remedy is empty"),
        ({"id": "noise"}, "an id is capitals and a number"),
        ({"id": "IC999"}, "IC and a number are the package's"),
        ({"severities": ()}, r"severities are \(\)"),
        ({"severities": ("fatal",)}, "some of info, warning and error"),
        ({"follows": frozenset({"IC101", "IC999"})}, "follows names IC999, which no rule has"),
        ({"bows": frozenset({"ACME2"})}, "bows names ACME2"),
    ],
)
def test_a_rule_that_lacks_something(changes, words):
    check = NoHugeWeights()
    check.rules = (dataclasses.replace(RULE, **changes),)
    with pytest.raises(AssertionError, match=words):
        assert_complete(check)


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ((), "it lists no rules"),
        ((RULE, RULE), "two rules have the id ACME1"),
        (("ACME1",), "'ACME1': is no pytest_initcheck.checks.Rule"),
    ],
)
def test_rules_that_lack_something(rules, words):
    check = NoHugeWeights()
    check.rules = rules
    with pytest.raises(AssertionError, match=words):
        assert_complete(check)


def test_a_protocol_of_the_future():
    check = NoHugeWeights()
    check.protocol = 99
    with pytest.raises(AssertionError, match="protocol is 99, and this version speaks 1 to 1"):
        assert_complete(check)
    with pytest.raises(AssertionError, match="a check is an object with a name"):
        assert_complete(Finding)


MODEL = """
    import torch
    from torch import nn

    def net():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        nn.init.normal_(model[0].weight, std={std})
        return model

    def batch():
        torch.manual_seed(1)
        return torch.randn(64, 6), torch.randint(0, 3, (64,))
"""
TEST = """
    from nets import net, batch

    def test_start(initcheck):
        initcheck.assert_healthy(net(), batch())
"""


def test_a_project_notices_a_change_and_takes_it(initcheck_project):
    initcheck_project.write(test_start=TEST)
    initcheck_project.assert_guards("nets", MODEL.format(std=0.4), MODEL.format(std=0.9), "changed")


def test_a_project_that_notices_nothing(initcheck_project):
    initcheck_project.write(test_start=TEST)
    text = MODEL.format(std=0.4)
    with pytest.raises(AssertionError, match="the run was to fail, with 'changed'"):
        initcheck_project.assert_guards("nets", text, text, "changed")


def test_runs_say_what_they_found(initcheck_project):
    code = MODEL.format(std=0.4).replace(
        "return model",
        "nn.init.zeros_(model[2].weight)\n        return model.requires_grad_(False)",
    )
    initcheck_project.write(nets=code, test_start=TEST)
    initcheck_project.expect_failure(
        "IC809", arguments=["--initcheck-report=report/index.html", "--initcheck-baselines=off"]
    )
    assert ("test_start.py::test_start", "IC809") in initcheck_project.findings()
    with pytest.raises(AssertionError, match="the run was to pass"):
        initcheck_project.expect_pass()
    with pytest.raises(AssertionError, match=r"missing: \['nonsense'\]"):
        initcheck_project.expect_failure("nonsense")
    shutil.rmtree(initcheck_project.path / ".pytest_cache")
    with pytest.raises(AssertionError, match=r"accept ended with 2: .*run\.json"):
        initcheck_project.accept()


def test_without_pytester_the_fixture_says_what_to_write(project):
    project.pytester.makeconftest("pytest_plugins = ['pytest_initcheck.testing']")
    project.test(test_a="def test_a(initcheck_project): pass")
    result = project.run()
    assert result.ret == 1
    assert "initcheck_project needs pytester; in conftest.py: pytest_plugins" in result.stdout.str()


def test_importing_it_brings_in_no_torch():
    code = "import sys, pytest_initcheck.testing as t; print({'torch'} & {*sys.modules}, t.judged)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("set()")
