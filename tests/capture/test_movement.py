"""How far parameters have moved: one meaning for diagnoses and for trainings."""

import math

import pytest
import torch
from torch import nn

from pytest_initcheck import Experiment, diagnose, run
from pytest_initcheck.capture.movement import copies, movement


def net() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    nn.init.zeros_(model[0].bias)
    model[2].weight.requires_grad_(False)
    return model


def test_the_ratio_is_of_norms():
    model = net()
    starts = copies(model)
    with torch.no_grad():
        model[0].weight.mul_(1.5)
        model[0].bias.add_(1)
    found = movement(model, starts)
    assert found == {
        "0.weight": pytest.approx(0.5),
        "0.bias": math.inf,
        "2.weight": 0.0,
        "2.bias": 0.0,
    }


def test_what_starts_at_zero_and_stays_has_not_moved():
    model = net()
    assert set(movement(model, copies(model)).values()) == {0.0}


def test_parameters_that_have_no_distance_are_left_out():
    model = nn.Module()
    model.empty = nn.Parameter(torch.zeros(0, 3))
    model.quantised = nn.Parameter(torch.ones(2, dtype=torch.int8), requires_grad=False)
    model.narrow = nn.Parameter(torch.ones(3, dtype=torch.float16))
    model.complex = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    model.late = nn.Parameter(torch.ones(1))
    starts = copies(model)
    del starts["late"]
    assert movement(model, starts) == {"narrow": 0.0, "complex": 0.0}


def test_a_diagnosis_and_a_training_mean_the_same():
    batch = torch.randn(16, 4), torch.randint(0, 3, (16,))
    looked = diagnose(net(), batch, steps=2).after
    trained = run(Experiment(model=net, data=batch, epochs=2, batch_size=16), seeds=1).after
    for record in (looked, trained):
        first, last = record.layer("0").update_ratio, record.layer("2").update_ratio
        assert 0 < first["weight"] < math.inf
        assert first["bias"] == math.inf
        assert last["weight"] == 0.0
