"""Gradients that are zero on paper are rounding; they are recognised by their size."""

from __future__ import annotations

import dataclasses
import functools
import itertools

import numpy as np
import pytest
import torch
from support.baseline import stats
from support.comparing import keys, started
from torch import nn

from pytest_initcheck.baseline import compare
from pytest_initcheck.baseline.noise import epsilon, gradient_noise, is_still
from pytest_initcheck.records import LayerRecord, ModelRecord, RunRecord

# Before a normalisation over the batch no bias has a gradient.
NETS = {
    "linear": lambda: nn.Sequential(
        nn.Flatten(), nn.Linear(192, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5)
    ),
    "convolution": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 5)
    ),
    "depthwise": lambda: nn.Sequential(
        nn.Conv2d(3, 8, 1), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    ),
}  # fmt: skip
BIASES = {"linear": ["1"], "convolution": ["0"], "depthwise": ["0", "3"]}


@functools.cache
def record(name, seed):
    torch.manual_seed(seed + 1000)
    batch = torch.randn(16, 3, 8, 8), torch.randint(0, 5, (16,))
    return started(NETS[name], seed=seed, batch=batch)


@pytest.mark.parametrize("name", NETS)
def test_a_bias_before_a_normalisation_never_differs(name):
    made = [record(name, seed) for seed in range(6)]
    for a, b in itertools.combinations(made, 2):
        found = compare(a, b, least=0.0)
        assert found.status == "match", keys(found)
    for one in made:
        noise = gradient_noise(one.before)
        for layer in BIASES[name]:
            gradients = one.before.layer(layer).gradients
            assert gradients["bias"].rms <= noise[layer] < gradients["weight"].rms / 10


@pytest.mark.parametrize("name", NETS)
def test_a_gradient_that_is_real_differs_there(name):
    (layer, *_) = BIASES[name]
    real = started(lambda: without_norms(NETS[name]()), batch=batch_of(), seed=3)
    plain = started(NETS[name], batch=batch_of(), seed=3)
    bias = real.before.layer(layer).gradients["bias"]
    assert bias.rms > 10 * gradient_noise(plain.before)[layer]
    changed = with_gradient(plain, layer, bias)
    for a, b in ((changed, plain), (plain, changed)):
        told = keys(compare(a, b))
        assert told
        assert all(f"layer {layer!r} gradients.bias" in key for key in told)


def batch_of():
    stream = torch.Generator().manual_seed(0)
    return torch.randn(16, 3, 8, 8, generator=stream), torch.arange(16) % 5


def without_norms(model):
    kept = [m for m in model if not isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d))]
    return nn.Sequential(*(nn.Identity() if m not in kept else m for m in model))


def with_gradient(record, name, gradient):
    layers = tuple(
        dataclasses.replace(x, gradients={**x.gradients, "bias": gradient}) if x.name == name else x
        for x in record.before.layers
    )
    return dataclasses.replace(record, before=dataclasses.replace(record.before, layers=layers))


def test_zeros_among_gradients_that_are_rounding_are_none():
    # Keys of an attention move nothing by their biases: a third of these is zero on paper.
    def attention():
        return nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    stream = torch.Generator().manual_seed(0)
    batch = torch.randn(8, 6, 16, generator=stream), torch.randn(8, 6, 16, generator=stream)
    plain = started(attention, batch=batch)
    bias = plain.before.layer("self_attn").gradients["in_proj_bias"]
    assert bias.rms > gradient_noise(plain.before)["self_attn"]
    other = dataclasses.replace(bias, zero_share=bias.zero_share + 0.2)
    layers = tuple(
        dataclasses.replace(x, gradients={**x.gradients, "in_proj_bias": other})
        if x.name == "self_attn"
        else x
        for x in plain.before.layers
    )
    changed = dataclasses.replace(plain, before=dataclasses.replace(plain.before, layers=layers))
    assert compare(changed, plain).status == "match"


# The rule alone


def layer(name, gradient=None, shape=(64, 32)):
    values = None if gradient is None else stats([gradient, -gradient], shape=shape)
    return LayerRecord(name=name, kind="Linear", activation_gradients=values)


def test_noise_grows_with_the_terms_their_size_and_the_unit_of_rounding():
    def level(gradient, shape, dtype="float32"):
        one = dataclasses.replace(layer("a", gradient, shape))
        grads = dataclasses.replace(one.activation_gradients, dtype=dtype)
        one = dataclasses.replace(one, activation_gradients=grads, activations=grads)
        return gradient_noise(ModelRecord(layers=(one,)))["a"]

    plain = level(1e-3, (64, 32))
    assert plain == pytest.approx(100 * 2.0**-23 * 64 * 1e-3)
    assert level(2e-3, (64, 32)) == pytest.approx(2 * plain)
    assert level(1e-3, (128, 32)) == pytest.approx(2 * plain)
    assert level(1e-3, (64, 64)) == pytest.approx(plain)
    assert level(1e-3, (64, 32), "bfloat16") == pytest.approx(2.0**16 * plain)


def test_a_layer_of_which_nothing_is_known_has_the_noise_of_its_neighbours():
    layers = (layer("a"), layer("b", 1e-3), layer("c"), layer("d", 4e-3), layer("e"), layer("f"))
    noise = gradient_noise(ModelRecord(layers=layers))
    assert noise["d"] > noise["b"] > 0
    assert noise["a"] == noise["b"]
    assert noise["c"] == noise["e"] == noise["f"] == noise["d"]
    assert gradient_noise(ModelRecord(layers=(layer("a"), layer("b", 0.0)))) == {"a": 0, "b": 0}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_unit_of_rounding_is_that_of_the_dtype(dtype):
    assert epsilon(dtype) == torch.finfo(getattr(torch, dtype)).eps
    weight = stats([1.0], dtype=dtype)
    assert is_still(weight, epsilon(dtype))
    assert not is_still(weight, 2 * epsilon(dtype))
    assert not is_still(weight, None)
    assert not is_still(None, 0.0)


def moved(ratio, gradient, weight="float32"):
    values = np.random.default_rng(0).normal(size=(64, 32))
    one = LayerRecord(
        name="a",
        kind="Linear",
        weights={"weight": stats(values, dtype=weight)},
        gradients={"weight": stats(values * gradient)},
        activations=stats(values),
        activation_gradients=stats(values * 1e-3),
        update_ratio={"weight": ratio},
    )
    return RunRecord(after=ModelRecord(layers=(one,)))


def test_a_ratio_counts_where_its_gradient_does_and_the_step_can_be_told():
    # Thirty times as far, by a gradient and by what is left of one.
    assert any("update_ratio" in key for key in keys(compare(moved(3e-2, 1e-2), moved(1e-3, 1e-2))))
    assert compare(moved(3e-2, 1e-9), moved(1e-3, 1e-9)).status == "match"
    # A step below what half precision can hold.
    steps = (moved(ratio, 1e-2, "bfloat16") for ratio in (6e-3, 1e-4))
    assert compare(*steps).status == "match"
