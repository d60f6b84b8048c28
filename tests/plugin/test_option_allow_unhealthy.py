"""--initcheck-allow-unhealthy: what is not healthy becomes a baseline only with a reason."""

from __future__ import annotations

import json

import pytest

SICK = """
    import torch
    from nets import net, batch
    def test_sick(initcheck):
        model = net()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        assert initcheck.diagnose(model, batch()).verdict == "fail"
"""


def stored(models):
    data = json.loads((models.path / "baselines/test_a.json").read_text())
    return data["tests"]["test_sick"]["diagnosis"]


def test_an_update_refuses_and_the_run_fails(models):
    models.test(test_a=SICK)
    result = models.run("--initcheck-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*0 created, 0 updated, 0 unchanged, 1 refused",
            "ERROR: baseline not written: test_a.py::test_sick: 'diagnosis': its start is not *",
        ]
    )
    assert not (models.path / "baselines").exists()


def test_a_reason_is_stored_with_it(models):
    models.test(test_a=SICK)
    assert models.run("--initcheck-update", "--initcheck-allow-unhealthy=as it was").ret == 0
    known = stored(models)["provenance"]
    assert (known["verdict"], known["allowed"]) == ("fail", "as it was")
    assert models.run().ret == 0
    assert models.run("--initcheck-update").ret == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--initcheck-update", "--initcheck-allow-unhealthy="], "is empty: say why"),
        (["--initcheck-allow-unhealthy=x"], "says nothing but to --initcheck-update"),
    ],
)
def test_a_reason_without_a_use_or_a_word_is_wrong_use(project, words, said):
    result = project.run(*words)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --initcheck-allow-unhealthy*{said}*"])


def test_a_record_of_zeros_is_refused(project):
    project.test(test_a="def test_zero(initcheck): initcheck.compare('loss', [[0.0] * 100])")
    result = project.run("--initcheck-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["ERROR: *'loss': it guards nothing: every number of it is zero*"])
