"""The range of σ that is measured for a layer is the one that the findings go by."""

from __future__ import annotations

import math

import pytest
import torch

from support.starts import (  # isort: skip
    Model, bits, ids, labelled, lines, mlp, named, normal, told, weighted,
)  # fmt: skip
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.diagnosis.sigma_range import SigmaRange
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.normal import draw_normal


def redrawn(model, sigma, layer):
    """The model with the very numbers that the range was measured with."""
    return draw_normal(model, sigma, [layer], torch.Generator().manual_seed(0))


BOUNDED = {
    "tanh": (lambda: mlp(nn.Tanh, 20, 32, 32, 3), "2"),
    "sigmoid": (lambda: mlp(nn.Sigmoid, 20, 32, 32, 3), "0"),
    "hardsigmoid": (lambda: mlp(nn.Hardsigmoid, 20, 32, 32, 3), "2"),
    "softsign": (lambda: mlp(nn.Softsign, 20, 32, 32, 3), "0"),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_a_layer_saturates_beyond_the_upper_end_and_not_below(name):
    make, layer = BOUNDED[name]
    high = diagnose(make(), labelled()).sigma_range(layer).high
    inside = diagnose(redrawn(make(), 0.8 * high, layer), labelled())
    assert "IC303" not in told(inside), str(inside)
    beyond = diagnose(redrawn(make(), 1.3 * high, layer), labelled())
    assert layer in named(beyond, "IC303").layers


def test_the_upper_end_is_met_to_a_hundredth():
    high = diagnose(mlp(nn.Tanh, 20, 32, 32, 3), labelled()).sigma_range("0").high
    for factor, is_open in ((0.98, True), (1.02, False)):
        model = redrawn(mlp(nn.Tanh, 20, 32, 32, 3), factor * high, "0")
        with torch.no_grad():
            slopes = 1 - model[0](labelled()[0]).tanh().square()
        assert (slopes.mean(0).quantile(0.5) >= 0.25) == is_open


def test_the_signal_is_lost_below_the_lower_end_and_not_above():
    def make(sigma):
        model = mlp(nn.Sigmoid, 20, 32, 3)
        return model if sigma is None else redrawn(model, sigma, "0")

    low = diagnose(make(None), labelled()).sigma_range("0").low
    assert "IC402" not in told(diagnose(make(1.3 * low), labelled()))
    assert named(diagnose(make(0.7 * low), labelled()), "IC402").layer == "0"


@pytest.mark.parametrize("act", [nn.ReLU, nn.LeakyReLU, nn.GELU])
def test_a_rectifier_has_no_upper_end(act):
    assert diagnose(mlp(act, 20, 32, 3), labelled()).sigma_range("0").high is None


def test_a_linear_scale_has_no_lower_end():
    found = diagnose(mlp(nn.Tanh, 20, 32, 3), labelled()).sigma_range("0")
    assert found.low is None
    assert "σ from 0 to" in str(found)


@pytest.mark.parametrize("shift", [10.0, 1e3])
def test_where_no_sigma_will_do_both_ends_are_nan(shift):
    torch.manual_seed(0)
    model = Model(lambda m, x: m.head(torch.tanh(0 * m.body(x) + shift)), body=nn.Linear(20, 32),
                  head=nn.Linear(32, 3))  # fmt: skip
    found = diagnose(model, labelled()).sigma_range("body")
    assert math.isnan(found.low)
    assert math.isnan(found.high)
    assert "no σ" in str(found)


def test_the_remedy_of_a_saturated_layer_tells_its_range():
    model = weighted(mlp(nn.Tanh, 20, 32, 32, 3), normal(4.0), "0", "2")
    found = diagnose(model, labelled())
    saturated = named(found, "IC303")
    assert saturated.remedy.endswith(str(found.sigma_range(saturated.layer)))
    assert f"{found.sigma_range(saturated.layer).high:.3g}" in saturated.remedy


def test_a_place_that_cannot_be_drawn_has_no_range():
    torch.manual_seed(0)
    model = Model(lambda m, x: m.head(torch.tanh(x @ m.body)), head=nn.Linear(32, 3),
                  body=nn.Parameter(10 * torch.randn(20, 32)))  # fmt: skip
    found = diagnose(model, labelled())
    assert "measured" not in named(found, "IC303").remedy


def test_larger_data_leave_less_room():
    (x, y), model = labelled(), mlp(nn.Tanh, 20, 32, 3)
    near, far = (diagnose(model, (factor * x, y)).sigma_range("0").high for factor in (1, 5))
    assert 3 < near / far < 6


def test_the_model_is_put_back_and_the_answer_repeated():
    model, batch = mlp(nn.Tanh, 20, 32, 32, 3), labelled()
    found = diagnose(model, batch)
    before = bits(model, *batch)
    first = found.sigma_range("2")
    assert bits(model, *batch) == before
    torch.rand(3)
    assert found.sigma_range("2") == first


def test_it_is_measured_in_training_mode_like_the_rest():
    torch.manual_seed(0)
    parts = nn.Linear(20, 32), nn.BatchNorm1d(32), nn.Tanh(), nn.Linear(32, 3)
    model = nn.Sequential(*parts)
    expected = diagnose(model, labelled()).sigma_range("0")
    assert expected.high is None
    found = diagnose(model.eval(), labelled())
    assert found.sigma_range("0") == expected
    assert not model.training


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_surrounding_mode_without_gradients_is_no_hindrance(mode):
    found = diagnose(mlp(nn.Tanh, 20, 32, 3), labelled())
    expected = found.sigma_range("0")
    with mode():
        assert found.sigma_range("0") == expected


def test_a_lazy_model_is_measured_and_stays_lazy():
    model = nn.Sequential(nn.LazyLinear(32), nn.Tanh(), nn.LazyLinear(3))
    found = diagnose(model, labelled()).sigma_range("0")
    assert found == diagnose(mlp(nn.Tanh, 20, 32, 3), labelled()).sigma_range("0")
    assert isinstance(model[0], nn.LazyLinear)


def test_an_unknown_layer_and_one_without_nonlinearity_are_errors():
    found = diagnose(mlp(nn.Tanh, 20, 32, 3), labelled())
    with pytest.raises(InitcheckError, match="no nonlinearity follows layer '2'"):
        found.sigma_range("2")
    with pytest.raises(InitcheckError, match="nowhere"):
        found.sigma_range("nowhere")


def test_a_regression_and_a_convolution_have_a_range_too():
    found = diagnose(mlp(nn.Tanh, 20, 32, 1), lines())
    assert 0.1 < found.sigma_range("0").high < 2
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Tanh(), nn.Flatten(), nn.Linear(288, 3))
    batch = torch.randn(16, 1, 8, 8), torch.randint(0, 3, (16,))
    high = diagnose(model, batch).sigma_range("0").high
    assert "IC303" in ids(diagnose(redrawn(model, 1.3 * high, "0"), batch))


def test_a_range_reads_as_a_sentence():
    text = str(SigmaRange("body", 0.012345, None))
    assert text == "layer 'body' stays unsaturated for σ from 0.0123 to any size on this data"
