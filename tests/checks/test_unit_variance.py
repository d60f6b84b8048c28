"""Weights scaled by what they make of the batch: offered where drawing them anew is no help."""

import pytest
import torch
from support.starts import labelled, named
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.checks.depth import Gradients
from pytest_initcheck.testing import judged


def squeezed(width=64):
    """A softmax in the middle makes nearly the same of all samples, however weights are drawn."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, width), nn.Softmax(-1), nn.Linear(width, width), nn.Softmax(-1),
        nn.Linear(width, width), nn.Softmax(-1), nn.Linear(width, width), nn.Softmax(-1),
        nn.Linear(width, 3),
    )  # fmt: skip


def test_a_redraw_comes_first_and_the_batch_after_it():
    found = diagnose(squeezed(), labelled(), checks=[Gradients()])
    finding = named(found, "IC402")

    assert "xavier_uniform_" in finding.remedy_code
    mended = found.try_remedy()
    assert mended.verdict == "pass"
    redraw, scaling = mended.applied
    assert redraw == finding.remedy_code
    assert "register_forward_hook(unit_variance)" in scaling


def test_what_it_makes_has_mean_zero_and_unit_variance():
    found = diagnose(squeezed(), labelled(), checks=[Gradients()])
    model, (inputs, _) = squeezed(), labelled()
    for code in found.try_remedy().applied:
        exec(code, {"model": model, "inputs": inputs, "torch": torch})

    with torch.no_grad():
        first = model[0](inputs)
        third = model[4](model[3](model[2](model[1](first))))
    for output in (first, third):
        assert output.mean(0).abs().max() < 1e-3
        assert float(output.var(unbiased=False)) == pytest.approx(1, abs=1e-3)
    assert not model[0]._forward_hooks


def averaged():
    """The mean over what was normalised along the same axes is zero for every sample."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3), nn.InstanceNorm2d(8),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    )  # fmt: skip


def test_no_weights_help_where_the_gradient_is_lost_in_one_place():
    batch = torch.randn(16, 3, 10, 10), torch.arange(16) % 3
    (finding,) = [f for f in judged(Gradients(), averaged(), batch) if f.id == "IC403"]

    assert "lost in one place, from '6' back to '2'" in finding.cause
    assert finding.remedy_code == ""
    assert "look at what runs between" in finding.remedy


@pytest.mark.parametrize(("part", "is_one_place"), [(0.15, True), (0.05, False)])
def test_weights_far_below_an_initialisers_may_be_what_loses_the_gradient(part, is_one_place):
    model, batch = averaged(), (torch.randn(16, 3, 10, 10), torch.arange(16) % 3)
    with torch.no_grad():
        model[2].weight.normal_(std=part * (2 / 72) ** 0.5)
    (finding,) = [f for f in judged(Gradients(), model, batch) if f.id == "IC403"]
    assert ("lost in one place" in finding.cause) is is_one_place


class Mean(nn.Module):
    """Over the samples, where one over the positions was meant."""

    def forward(self, x):
        return x.mean(0, keepdim=True).expand_as(x)


def test_no_weights_help_where_the_samples_are_lost_in_one_place():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 16), Mean(), nn.Linear(16, 3))
    (finding,) = [f for f in judged(Gradients(), model, labelled()) if f.id == "IC402"]

    assert "lost in one place, from '2' to '4' (mean)" in finding.cause
    assert finding.remedy_code == ""
    assert "look at what runs between" in finding.remedy


@pytest.mark.parametrize(("nonlinearity", "gain"), [(nn.Sigmoid, "4"), (nn.Hardsigmoid, "6")])
def test_a_deep_model_is_redrawn_by_the_slope_of_its_nonlinearity(nonlinearity, gain):
    torch.manual_seed(0)
    hidden = (part for _ in range(8) for part in (nn.Linear(20, 20), nonlinearity()))
    model = nn.Sequential(*hidden, nn.Linear(20, 3))
    (finding,) = [f for f in judged(Gradients(), model, labelled()) if f.id == "IC402"]
    assert f"xavier_uniform_(parameter, gain={gain})" in finding.remedy_code
