"""Experiments that cannot work: one error each, and nothing left changed."""

import pytest
import torch
from support.training import experiment, points, sgd, small
from torch import nn

from pytest_initcheck import Experiment, InitcheckError, run, sweep

X, Y = points()
NAN = X.clone()
NAN[3, 1] = float("nan")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": small()}, "model: pass a function that returns a new model"),
        ({"model": 3}, "model: pass a function"),
        ({"epochs": 0}, "epochs: pass a whole number"),
        ({"epochs": 2.0}, "epochs: pass a whole number"),
        ({"batch_size": -1}, "batch_size: pass a whole number"),
        ({"batch_size": True}, "batch_size: pass a whole number"),
        ({"loss": nn.CrossEntropyLoss}, r"loss: pass CrossEntropyLoss\(\)"),
        ({"loss": "mse"}, "loss: pass a function"),
        ({"optimizer": "adam"}, "optimizer: pass a function"),
        ({"optimizer": sgd(small().parameters())}, "optimizer: pass a function"),
        ({"initialise": 1.0}, "initialise: pass a function"),
        ({"measure": {}}, "measure: pass a function"),
        ({"dtype": torch.int64}, "dtype: pass a floating type"),
        ({"dtype": "float64"}, "dtype: pass a floating type"),
    ],
)
def test_arguments_are_checked_when_the_experiment_is_made(changes, message):
    with pytest.raises(InitcheckError, match=message):
        experiment(**changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": X}, r"data: pass \(inputs, targets\)"),
        ({"data": {"x": X}}, r"data: pass \(inputs, targets\)"),
        ({"data": (X,)}, r"data: pass \(inputs, targets\)"),
        ({"data": (X[:0], Y[:0])}, "data inputs: empty"),
        ({"data": (X, "labels")}, "data targets: pass a tensor"),
        ({"data": (X, torch.tensor(1))}, "data targets: empty"),
        ({"data": (X, Y[:-1])}, "60 inputs and 59 targets"),
        ({"data": (NAN, Y)}, "data inputs: 1 of 120 values are NaN or infinite"),
        ({"data": (X, X * float("inf"))}, "data targets: .* NaN or infinite"),
        ({"data": (X, Y - 1)}, "labels go from 0 to C - 1, found -1"),
        ({"data": (X, Y + 1)}, "data: label 3 is out of range: the model has 3 outputs"),
        ({"validation": (X, Y + 5)}, "validation: label 7 is out of range"),
        ({"validation": (X[:, :1], Y)}, "validation inputs: samples of shape"),
        ({"validation": (X.double(), Y)}, "validation inputs: .*float64"),
        ({"batch_size": 61, "drop_last": True}, "batch_size 61 is larger than the 60 samples"),
        ({"model": lambda: None}, "the factory returned a value of type NoneType"),
        ({"model": nn.Tanh}, "no parameters to train"),
        ({"model": lambda: nn.LazyLinear(3)}, "lazy layers"),
        ({"model": lambda: nn.Linear(5, 3)}, "its forward raised RuntimeError"),
        ({"data": (X.double(), Y)}, "its forward raised RuntimeError"),
        ({"model": lambda: nn.LSTM(2, 3)}, "must return one tensor, it returned tuple"),
        ({"model": lambda: Rounded()}, "outputs must be floating"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, "must be a scalar, it has shape"),
        ({"loss": lambda o, t: 1.0}, "must return a scalar tensor"),
        ({"loss": lambda o, t: o.detach().sum()}, "does not depend on the parameters"),
        ({"loss": nn.MSELoss()}, "loss: MSELoss raised RuntimeError"),
        ({"optimizer": lambda params: None}, "must return an optimiser"),
        ({"optimizer": lambda params: 1 / 0}, "optimizer: the function raised ZeroDivisionError"),
        ({"optimizer": torch.optim.LBFGS}, "a step of LBFGS raised TypeError: .*closure"),
        ({"measure": lambda m, t: 3}, "measure: must return a mapping"),
        ({"measure": lambda m, t: {"a": "b"}}, "measure: must return numbers"),
    ],
)
def test_what_cannot_be_trained_is_one_error(changes, message):
    with pytest.raises(InitcheckError, match=message):
        run(experiment(**changes), seeds=2)


class Rounded(nn.Linear):
    """Integer outputs."""

    def __init__(self):
        super().__init__(2, 3)

    def forward(self, inputs):
        return super().forward(inputs).round().long()


@pytest.mark.parametrize(
    ("seeds", "message"),
    [
        (0, "at least one"),
        ([], "at least one"),
        (-3, "at least one"),
        (True, "pass how many"),
        (2.5, "pass how many"),
        ("123", "pass how many"),
        ([1, 1], "every seed once"),
        ([1, -1], "whole numbers from 0"),
        ([2**32], "whole numbers from 0"),
        ([0.5], "whole numbers from 0"),
        ([None], "whole numbers from 0"),
    ],
)
def test_seeds(seeds, message):
    with pytest.raises(InitcheckError, match=f"seeds: .*{message}"):
        run(experiment(), seeds=seeds)


def test_factory_that_returns_one_model_again_leaves_it_as_it_was():
    model = small()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = experiment(model=lambda: model, initialise=lambda m: nn.init.zeros_(m[0].weight))
    with pytest.raises(InitcheckError, match="returned the same object twice"):
        run(changed, seeds=2)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])


def test_factory_whose_models_share_a_part():
    shared = nn.Linear(2, 8)
    with pytest.raises(InitcheckError, match=r"share the parameter '0\.weight'"):
        run(experiment(model=lambda: nn.Sequential(shared, nn.Linear(8, 3))), seeds=2)


def test_factory_is_called_once_per_seed():
    models = [small() for _ in range(3)]
    run(experiment(model=iter(models).__next__), seeds=3)


@pytest.mark.parametrize("device", ["nowhere", "meta:x", 3.5])
def test_device_that_is_not_there(device):
    with pytest.raises(InitcheckError, match=r"device .* cannot be used here"):
        run(experiment(), seeds=1, device=device)


def test_an_error_in_the_last_batch_is_one_error():
    # 61 samples in batches of 20 end in a single one, which batch statistics cannot do.
    def model():
        return nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))

    with pytest.raises(InitcheckError, match=r"training stopped at seed 0, epoch 1: ValueError"):
        run(experiment(model=model, data=points(61), batch_size=20), seeds=1)


def test_something_else_than_an_experiment():
    for call in (run, lambda e: sweep(e, sigmas=[1])):
        with pytest.raises(InitcheckError, match="pass an Experiment"):
            call(small)


def test_default_optimiser_and_loss_are_stated():
    record = run(Experiment(model=small, data=points()), seeds=1)
    assert record.meta["optimizer"] == "Adam, lr 0.001"
