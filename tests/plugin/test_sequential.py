"""`seeds=Sequential(…)` in tests: how many seeds are taken, and what is told of it."""

from __future__ import annotations

import pytest
import torch

from pytest_initcheck import Sequential
from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import Entry, RunRecord, TestRecord
from pytest_initcheck.session import recorder as recording
from pytest_initcheck.session.settings import Scope

OFF = "--initcheck-baselines=off"
UPDATE = "--initcheck-update"
REPORT = "--initcheck-report=report/page.html"
NETS = """
    import torch
    from torch import nn
    from pytest_initcheck import Experiment

    SALT, SHIFT = {salt}, {shift}

    def model():
        torch.rand(SALT)
        return nn.Linear(4, 2)

    def measured(model, moment):
        return {{"score": torch.randn(()) + SHIFT * (moment == "after")}}

    def experiment(epochs=2):
        inputs = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
        labels = (inputs[:, 0] + inputs[:, 1] / 2 > 0).long()
        def quick(parameters):
            return torch.optim.SGD(parameters, lr=0.5)
        return Experiment(
            model, (inputs, labels), epochs=epochs, batch_size=20, optimizer=quick, measure=measured
        )
"""
HEAD = """
    import pytest
    import torch
    from nets import experiment
    from pytest_initcheck import InitcheckError, InitcheckFailure, Sequential

"""
RUN = "initcheck.run(experiment(), seeds=Sequential(16))"


def write(project, body, salt=1, shift=0.0, head=""):
    lines = "".join(f"        {line}\n" for line in body.strip().splitlines())
    test = f"{HEAD}{head}    def test_it(initcheck):\n{lines}"
    project.test(nets=NETS.format(salt=salt, shift=shift), test_a=test)


def seeds(project):
    return [len(entry["record"]["seeds"]) for entry in project.entries().values()]


def decisions(project):
    looks = [entry.get("looks", []) for entry in project.entries().values()]
    return [[(one["seeds"], one["decision"]) for one in path] for path in looks]


def test_an_update_takes_all_and_the_next_run_few(models):
    write(models, RUN)
    assert models.run(UPDATE, REPORT).ret == 0
    assert (seeds(models), decisions(models)) == ([16], [[]])
    result = models.run(REPORT)
    assert result.ret == 0
    assert (seeds(models), decisions(models)) == ([4], [[(4, "within chance")]])
    result.stdout.fnmatch_lines(["seeds: *4 of at most 16 seeds: within chance after the 1st look"])


def test_other_random_numbers_are_no_change(models):
    write(models, RUN)
    assert models.run(UPDATE).ret == 0
    taken = []
    for salt in (2, 3, 4):
        write(models, RUN, salt=salt)
        assert models.run(REPORT).ret == 0
        taken += seeds(models)
    assert sorted(taken)[1] <= 8, "half of the fixed design in the median"


def test_a_change_is_found_told_and_accepted(models):
    write(models, RUN)
    assert models.run(UPDATE).ret == 0
    write(models, RUN.replace("experiment()", "experiment(3)"))
    result = models.run(REPORT)
    assert result.ret == 1
    assert decisions(models) == [[(4, "changed")]]
    result.stdout.fnmatch_lines(["note: 4 of at most 16 seeds: changed after the 1st look"])
    models.accept()
    models.expect_pass()


def test_what_only_training_shows_takes_more_seeds(models):
    write(models, RUN)
    assert models.run(UPDATE).ret == 0
    write(models, RUN, shift=50.0)
    assert models.run(REPORT).ret == 1
    assert decisions(models) == [[(4, "open"), (8, "changed")]]
    (look, _) = models.entries()["test_a.py::test_it", "run"]["looks"]
    assert look["about"] == "metric score after"


def test_however_it_is_started_the_decision_is_the_same(models, quick_python):
    write(models, RUN)
    assert models.run(UPDATE).ret == 0
    write(models, RUN, salt=3)
    found = []
    for args in [(), ("-p", "no:xdist"), ("-n1",)]:
        assert models.run(REPORT, *args).ret == 0
        found.append(decisions(models))
    assert found[0] == found[1] == found[2] != [[]]


@pytest.mark.parametrize("args", [(OFF,), ()])
def test_without_a_baseline_all_seeds_are_taken(models, args):
    write(models, RUN)
    models.run(REPORT, *args)
    assert (seeds(models), decisions(models)) == ([16], [[]])


def test_given_tolerances_take_all_seeds(models):
    write(models, RUN, head="    @pytest.mark.initcheck(rtol=0.5)\n")
    assert models.run(UPDATE).ret == 0
    assert models.run(REPORT).ret == 0
    assert seeds(models) == [16]


def test_a_share_stops_where_it_holds(models):
    body = """
record = initcheck.assert_reaches(experiment(8), accuracy=0.8, seeds=Sequential(8))
assert record.seeds == (0, 1, 2, 3)
"""
    write(models, body)
    assert models.run(OFF, REPORT).ret == 0
    assert decisions(models) == [[(4, "holds")]]


def test_a_share_stops_where_it_fails(models):
    body = "initcheck.assert_reaches(experiment(1), accuracy=1.0, seeds=Sequential(16))"
    write(models, body)
    result = models.run(OFF, REPORT)
    assert result.ret == 1
    assert decisions(models) == [[(4, "fails")]]
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: seeds whose accuracy reaches 1: 0 of 4 seeds*",
            "E*4 of at most 16 seeds: fails after the 1st look",
        ]
    )


def test_both_questions_have_to_be_answered(models):
    body = "initcheck.assert_reaches(experiment(8), accuracy=0.8, seeds=Sequential(16))"
    write(models, body)
    assert models.run(UPDATE).ret == 0
    assert models.run(REPORT).ret == 0
    path = decisions(models)[0]
    assert path[:2] == [(4, "within chance"), (4, "open")]
    assert path[-2:] == [(8, "within chance"), (8, "holds")]


def test_the_cells_of_a_sweep_take_the_same_seeds(models):
    write(models, "initcheck.sweep(experiment(), sigmas=[0.1, 0.3], seeds=Sequential(8))")
    assert models.run(UPDATE, REPORT).ret == 0
    assert seeds(models) == [8, 8]
    assert models.run(REPORT).ret == 0
    assert seeds(models) == [4, 4]


def test_an_escape_stops_as_well(models):
    body = """
def escaping(w):
    return (w**3).sum()
def momentum(parameters):
    return torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
def crossed(w):
    return w < 0
found = initcheck.assert_escapes(
    escaping, 4.0, momentum, steps=10, noise=0.1, reached=crossed, seeds=Sequential(8)
)
initcheck.escape(escaping, 4.0, momentum, 10, noise=0.1, seeds=Sequential(8))
"""
    write(models, body)
    assert models.run(UPDATE, REPORT).ret == 0
    assert seeds(models) == [8, 8]
    assert models.run(REPORT).ret == 0
    assert seeds(models) == [4, 4]


@pytest.mark.parametrize(("device", "decision"), [("cuda", "within chance"), ("cpu", "open")])
def test_seeds_are_held_against_the_record_of_their_own_device(tmp_path, device, decision):
    def drawn(place, mean, seeds):
        values = tuple(mean + ((7 * seed) % 5 - 2) / 10 for seed in range(seeds))
        return RunRecord(metrics={"a": values}, seeds=tuple(range(seeds)), meta={"device": place})

    node, baselines = "test_a.py::test_x", Baselines(tmp_path)
    for place, mean in (("cpu", 1.0), ("cuda", 5.0)):
        entry = Entry(name="run", kind="run", record=drawn(place, mean, 16))
        test = TestRecord(nodeid=node, outcome="passed", entries=(entry,))
        baselines.update([test], {"torch": torch.__version__, "device": place})
    recorder = recording.TestRecorder(settings=Scope(nodeid=node), baselines=baselines)
    decider = recorder.decider("run", Sequential(16), device=device)
    assert decider.ask(drawn("cuda", 5.0, 4)) == [decision]
