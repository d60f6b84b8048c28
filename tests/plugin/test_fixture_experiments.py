"""The fixture's methods over seeds: run, sweep, escape, and what is asserted on them."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"
HEAD = """
    import pytest
    import torch
    from nets import net, batch
    from pytest_initcheck import Experiment, InitcheckFailure

    def cube(w):
        return (w**3).sum()

    def sgd(momentum):
        return lambda parameters: torch.optim.SGD(parameters, lr=0.01, momentum=momentum)

    def crossed(w):
        return w < 0

    def experiment(epochs=30, **options):
        inputs, _ = batch()
        targets = (inputs[:, 0] > 0).long()
        def fast(parameters):
            return torch.optim.Adam(parameters, lr=0.05)
        return Experiment(
            model=lambda: net(torch.seed() % 1000), data=(inputs, targets),
            optimizer=fast, epochs=epochs, **options
        )

"""


def run(models, body, *args):
    lines = [f"        {line}" for line in body.strip().splitlines()]
    models.test(test_a=HEAD + "    def test_it(initcheck):\n" + "\n".join(lines))
    return models.run(OFF, *args)


def test_escape_is_recorded(models):
    body = "initcheck.escape(cube, 4.0, sgd(0.9), 10, seeds=3, reached=crossed)"
    assert run(models, body, REPORT).ret == 0
    ((key, entry),) = models.entries().items()
    assert key == ("test_a.py::test_it", "escape")
    assert entry["kind"] == "escape"
    assert entry["record"]["metrics"]["final w0"] == pytest.approx([-4.0995] * 3, abs=5e-4)


def test_run_and_sweep_are_recorded(models):
    body = """
initcheck.run(experiment(1), seeds=2)
initcheck.sweep(experiment(1), sigmas=[0.1, 1.0], seeds=2)
"""
    assert run(models, body, REPORT).ret == 0
    found = {name: entry["kind"] for (_, name), entry in models.entries().items()}
    assert found == {"run": "run", "sweep: sigma=0.1": "sweep", "sweep: sigma=1": "sweep"}


def test_momentum_escapes(models):
    body = """
found = initcheck.assert_escapes(cube, 4.0, sgd(0.9), steps=10, reached=crossed, seeds=4)
assert found.share() == 1.0
"""
    assert run(models, body, REPORT).ret == 0
    (entry,) = models.entries().values()
    assert entry["verdict"] == "pass"


def test_no_momentum_does_not_escape(models):
    body = "initcheck.assert_escapes(cube, 4.0, sgd(0.0), steps=10, reached=crossed)"
    result = run(models, body, REPORT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: seeds that escape: 0 of 8 seeds (0 %)*required 90 %*",
            "E*ends: 8 of 8 still moving",
            "E*fix: *",
            "E*report: *",
        ]
    )
    (entry,) = models.entries().values()
    assert (entry["verdict"], entry["findings"][0]["id"]) == ("fail", "IC901")


def test_accuracy_is_reached(models):
    body = (
        "assert initcheck.assert_reaches(experiment(), accuracy=0.9, seeds=4).seeds == (0, 1, 2, 3)"
    )
    assert run(models, body, REPORT).ret == 0
    (entry,) = models.entries().values()
    assert (entry["kind"], entry["verdict"]) == ("run", "pass")


def test_accuracy_is_not_reached(models):
    body = "initcheck.assert_reaches(experiment(1), accuracy=1.0, seeds=4)"
    result = run(models, body, REPORT)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: seeds whose accuracy reaches 1: 0 of 4 seeds*required 90 %*",
            "E*accuracy: worst *, median *, best *",
        ]
    )
    (entry,) = models.entries().values()
    assert (entry["verdict"], entry["findings"][0]["id"]) == ("fail", "IC902")


def test_validation_data_decide_where_there_are_some(models):
    body = """
inputs, _ = batch(5)
wrong = (inputs[:, 0] < 0).long()
with pytest.raises(InitcheckFailure, match="seeds whose validation accuracy reaches 0.9"):
    initcheck.assert_reaches(experiment(validation=(inputs, wrong)), accuracy=0.9, seeds=2)
initcheck.assert_reaches(
    experiment(validation=(inputs, wrong)), accuracy=0.9, seeds=2, metric="accuracy"
)
"""
    assert run(models, body).ret == 0


@pytest.mark.parametrize("accuracy", ["93", "-0.1", "'high'", "True", "float('nan')"])
def test_accuracy_that_is_no_share_is_refused_before_training(models, accuracy):
    result = run(models, f"initcheck.assert_reaches(experiment(10**9), accuracy={accuracy})")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: accuracy=*: pass a share from 0 to 1*"])


def test_probability_that_is_none_is_refused(models):
    result = run(models, "initcheck.assert_reaches(experiment(1), accuracy=0.5, probability=90)")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: probability=90: pass a number from 0 to 1"])


def test_experiment_without_classes_says_what_to_pass(models):
    body = """
inputs, _ = batch()
initcheck.assert_reaches(Experiment(model=net, data=(inputs, inputs[:, :3])), accuracy=0.9, seeds=2)
"""
    result = run(models, body)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*InitcheckError: the experiment has no metric 'accuracy'*"])
