"""Captured steps: what is decided about them, on a stand-in for the device; no GPU has run this."""

import dataclasses

import pytest
import torch
from support.training import experiment, points
from torch import nn

from pytest_initcheck import run
from pytest_initcheck.training import graphs, loop
from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.forks import Unsuited
from pytest_initcheck.training.prepare import prepare


class Recorder:
    """Stands in for the device: a recording runs nothing, a replay runs the step."""

    def __init__(self, monkeypatch):
        self.warm, self.recorded, self.replayed = 0, 0, 0
        monkeypatch.setattr(graphs, "captured", self.captured)
        monkeypatch.setattr(graphs, "beside", self.beside)

    def beside(self, step):
        self.warm += 1
        step()

    def captured(self, step):
        self.recorded += 1

        def replay():
            self.replayed += 1
            step()

        return replay


@pytest.fixture
def recorder(monkeypatch):
    return Recorder(monkeypatch)


def trained(chosen, seeds=(0, 1)):
    """Histories and models of the plain loop and of captured steps, on the CPU."""
    found = []
    for captures in (False, True):
        prepared = prepare(chosen)
        models = build_models(prepared, seeds)
        histories = []
        for model, seed in zip(models, seeds, strict=True):
            epoch = graphs.Steps(prepared, model).epoch if captures else None
            torch.manual_seed(seed)
            histories.append(loop.train_one(prepared, model, seed, lambda _: None, epoch))
        found.append((histories, models))
    return found


def same(one, other):
    histories, models = zip(one, other, strict=True)
    assert histories[0] == histories[1]
    for mine, own in zip(*models, strict=True):
        for a, b in zip(mine.state_dict().values(), own.state_dict().values(), strict=True):
            assert torch.equal(a, b)


def test_the_first_steps_warm_up_and_count_and_the_smaller_batch_is_not_captured(recorder):
    # Four steps for each of three epochs, the last of them with 12 samples in place of 16.
    same(*trained(experiment(validation=points(20))))
    assert (recorder.warm, recorder.recorded, recorder.replayed) == (6, 2, 12)


def test_dropout_and_batch_statistics(recorder):
    def model():
        return nn.Sequential(
            nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.ReLU(), nn.Linear(8, 3)
        )

    same(*trained(experiment(model=model)))
    assert recorder.replayed == 12


def test_regression_has_no_decisions(recorder):
    inputs, _ = points()
    plain, captured = trained(experiment(model=lambda: nn.Linear(2, 2), data=(inputs, inputs * 2)))
    same(plain, captured)
    assert "accuracy" not in captured[0][0].curves


def test_what_cannot_be_captured_goes_on_step_by_step(recorder, monkeypatch):
    def refused(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(graphs, "captured", refused)
    same(*trained(experiment()))
    assert recorder.warm == 18


def test_what_python_notes_at_every_step_is_not_captured(recorder):
    class Counting(nn.Linear):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * self.calls

    same(*trained(experiment(model=lambda: Counting(2, 3))))
    assert recorder.recorded == 0


def test_optimisers_are_made_capturable_or_refused():
    chosen, weight = prepare(experiment()), nn.Parameter(torch.zeros(2))
    adam = torch.optim.Adam([weight])
    graphs.Steps(chosen, nn.Linear(2, 3))._take(adam)
    assert adam.param_groups[0]["capturable"] is True
    assert graphs._obstacle(adam) is None
    assert graphs._obstacle(torch.optim.SGD([weight], lr=0.1, momentum=0.9)) is None
    assert "Adagrad keeps numbers on the host" in graphs._obstacle(torch.optim.Adagrad([weight]))


def test_elsewhere_the_plain_loop_serves_and_says_why():
    plain, found = run(experiment(), 2), run(experiment(), 2, engine="graphs")
    assert found.engine == "plain (graphs: the models are on cpu)"
    assert found.curves == plain.curves
    chosen = dataclasses.replace(prepare(experiment()), device=torch.device("cuda"))
    adagrad = dataclasses.replace(chosen.experiment, optimizer=torch.optim.Adagrad)
    with pytest.raises(Unsuited, match="Adagrad keeps numbers"):
        graphs.train(dataclasses.replace(chosen, experiment=adagrad), [nn.Linear(2, 3)], [0], print)
