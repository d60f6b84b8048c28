"""Seeds of an experiment on another engine: the numbers of this process bit for bit."""

import dataclasses
import random

import pytest
import torch
from support.engines import shuffled  # noqa: F401
from support.training import experiment, points
from torch import nn

from pytest_initcheck import InitcheckError, run, sweep
from pytest_initcheck.sequential import Sequential
from pytest_initcheck.training.elsewhere import portable
from pytest_initcheck.training.prepare import prepare
from pytest_initcheck.training.runs import run_until

pytestmark = pytest.mark.usefixtures("shuffled")


def dropping():
    return nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.BatchNorm1d(8), nn.Linear(8, 3))


def measure(model, moment):
    return {"draw": torch.rand(()) + random.random(), "mean": model[0].weight.mean()}


@pytest.mark.parametrize("count", [1, 5])
def test_a_run_is_the_same_record(count):
    chosen = experiment(model=dropping, validation=points(20), measure=measure)
    assert run(chosen, seeds=count, backend="loky") == run(chosen, seeds=count)


def test_seeds_may_be_any(shuffled):  # noqa: F811
    found = run(experiment(), seeds=[7, 3, 11], backend="ray")
    assert found == run(experiment(), seeds=[7, 3, 11])
    assert found.engine == "ray (3 tasks on 3 workers)"
    assert sorted(shuffled.began) == [0, 1, 2]


def test_a_sweep_is_the_same_records():
    def wide(model):
        nn.init.normal_(model[0].weight, std=2.0)

    cells = {
        "sigmas": [0.1, 1.0],
        "starts": {"as it is": lambda model: None, "wide": wide},
        "optimizers": {"slow": lambda p: torch.optim.SGD(p, lr=0.01), "adam": torch.optim.Adam},
        "seeds": 2,
    }
    here, there = (sweep(experiment(), backend=b, **cells) for b in (None, "dask"))
    assert list(there) == list(here)
    assert there == here


@pytest.mark.parametrize("enough", [2, 99])
def test_seeds_until_something_is_known_are_the_same_too(enough):
    def is_known(record):
        return len(record.seeds) >= enough

    chosen = experiment(epochs=1)
    seeds = Sequential(at_most=5, at_least=2)
    here, there = (run_until(is_known, chosen, seeds, backend=b) for b in (None, "loky"))
    assert there == here
    assert len(there.seeds) == min(enough, 5)


def test_what_fails_there_is_said_as_here():
    class Breaks(nn.Linear):
        def forward(self, x):
            if torch.initial_seed() == 2 and len(x) < 16:
                raise ValueError("too few")
            return super().forward(x)

    chosen = experiment(model=lambda: Breaks(2, 3))
    said = []
    for backend in (None, "loky"):
        with pytest.raises(InitcheckError) as caught:
            run(chosen, seeds=4, backend=backend)
        said.append(str(caught.value))
    assert said[0] == said[1] == "training stopped at seed 2, epoch 1: ValueError: too few"
    assert 'raise ValueError("too few")' in str(caught.value.__cause__)


def test_a_factory_with_a_source_of_its_own_is_refused():
    source = torch.Generator().manual_seed(0)

    def model():
        net = nn.Linear(2, 3)
        net.weight.data = torch.randn(3, 2, generator=source)
        return net

    with pytest.raises(InitcheckError, match="gives other weights for the same seed"):
        run(experiment(model=model), seeds=3, backend="loky")


def test_models_that_share_a_part_are_refused():
    shared = nn.BatchNorm1d(2, affine=False)
    with pytest.raises(InitcheckError, match="the models share modules"):
        run(experiment(model=lambda: nn.Sequential(shared, nn.Linear(2, 3))), backend="loky")


def test_a_loss_that_learns_is_refused():
    class Centred(nn.CrossEntropyLoss):
        def __init__(self):
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, outputs, targets):
            self.seen += 1
            return super().forward(outputs, targets)

    with pytest.raises(InitcheckError, match="a step changes what the loss holds"):
        run(experiment(loss=Centred()), seeds=2, backend="loky")


@pytest.mark.parametrize("options", [{"engine": "batched"}, {"batched": True}, {"engine": "auto"}])
def test_an_engine_of_this_process_contradicts_a_backend(options):
    with pytest.raises(InitcheckError, match="its workers train one seed after the other"):
        run(experiment(), backend="loky", **options)
    assert run(experiment(epochs=1), seeds=2, backend="local", **options).seeds == (0, 1)


def test_what_is_drawn_while_a_model_is_looked_at_follows_from_its_seed():
    chosen = experiment(model=dropping, measure=measure)
    both, second = run(chosen, seeds=[4, 9]), run(chosen, seeds=[9])
    for name in ("draw before", "draw after"):
        assert both.metrics[name][1] == second.metrics[name][0]
    again = run(chosen, seeds=[9, 4])
    assert [again.metrics["draw after"][i] for i in (1, 0)] == list(both.metrics["draw after"])


def test_only_the_rows_that_are_used_travel():
    inputs, targets = points(600)
    part = experiment(data=(inputs[:50], targets[:50]), validation=(inputs[50:60], targets[50:60]))
    found = portable(prepare(part))
    assert found.train.inputs.untyped_storage().nbytes() == 50 * 2 * 4
    assert found.validation.targets.untyped_storage().nbytes() == 10 * 8
    assert found.experiment.data is None
    assert torch.equal(found.train.inputs, inputs[:50])


def test_where_it_ran_is_no_result():
    found = run(experiment(epochs=1), seeds=2, backend="loky")
    assert dataclasses.replace(found, engine="") == found
