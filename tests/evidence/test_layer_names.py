"""What the layer of a parameter is called, also where the model is a layer itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_initcheck import check_step, diagnose
from pytest_initcheck.evidence.layer_names import ROOT, layer_of
from pytest_initcheck.training import draw_normal


@pytest.mark.parametrize(
    ("parameter", "layer"),
    [
        ("body.0.weight", "body.0"),
        ("head.parametrizations.weight.original0", "head"),
        ("weight", ROOT),
        ("bias", ROOT),
        ("weight_ih_l0", ROOT),
        ("in_proj_bias", ROOT),
        ("position", "position"),
        ("weights", "weights"),
    ],
)
def test_a_parameter_belongs_to(parameter, layer):
    assert layer_of(parameter) == layer


def test_a_bare_layer_is_one_layer():
    torch.manual_seed(0)
    model, x = nn.Linear(20, 20), torch.randn(32, 20)
    (layer,) = diagnose(model, (x, torch.randn(32, 20))).record.layers
    assert (layer.name, layer.kind, set(layer.weights)) == (ROOT, "Linear", {"weight", "bias"})
    assert layer.activations is not None
    nn.init.constant_(model.weight, float("nan"))
    found = diagnose(model, (x, torch.randn(32, 20)))
    assert {finding.layer for finding in found.findings} == {ROOT}


def test_a_step_on_a_bare_layer_names_it():
    torch.manual_seed(0)
    model, x = nn.Linear(20, 5), torch.randn(32, 20)

    def step(model, optimizer, batch):
        model(batch).square().mean().backward()
        optimizer.step()

    found = check_step(step, model, torch.optim.SGD([model.bias], 0.1), x)
    assert [f.layer for f in found.findings if f.id == "IC852"] == [ROOT]


def test_a_bare_layer_is_drawn_by_that_name():
    model = nn.Linear(400, 50)
    draw_normal(model, 3.0, [ROOT])
    assert model.weight.std().item() == pytest.approx(3.0, rel=0.05)
