"""Nonlinearities are found and measured however their call is written."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pytest_initcheck import diagnose
from pytest_initcheck.capture import look

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")


class Net(nn.Module):
    """Two linear layers; ``act`` is applied between them."""

    def __init__(self, act, features=6, width=16, kinds=3):
        super().__init__()
        self.body, self.head = nn.Linear(features, width), nn.Linear(width, kinds)
        self.act = act

    def forward(self, x):
        return self.head(self.act(self.body(x)))


def batch(count=32, features=6, kinds=3):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, features, generator=generator)
    return x, torch.randint(0, kinds, (count,), generator=generator)


def net(act, **sizes):
    torch.manual_seed(0)
    return Net(act, **sizes)


def double(x):
    return x.mul(2)


class OwnRelu(torch.autograd.Function):
    """A rectifier with a backward pass of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x > 0)


RELUS = {
    "module": nn.ReLU(),
    "in-place module": nn.ReLU(inplace=True),
    "torch": torch.relu,
    "torch in-place": torch.relu_,
    "functional": functional.relu,
    "functional in-place": lambda x: functional.relu(x, inplace=True),
    "functional in-place name": functional.relu_,
    "method": lambda x: x.relu(),
    "method in-place": lambda x: x.relu_(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "torch.clamp": lambda x: torch.clamp(x, 0),
    "threshold": lambda x: functional.threshold(x, 0.0, 0.0),
    "own backward": OwnRelu.apply,
    "lambda": lambda x: (lambda y: y.relu())(x),
    "scripted": torch.jit.script(nn.Sequential(nn.ReLU())),
    "traced": torch.jit.trace(nn.ReLU(), torch.zeros(2, 16)),
    "checkpoint": lambda x: checkpoint(torch.relu, x, use_reentrant=False),
}


@pytest.mark.parametrize("way", RELUS)
def test_a_rectifier_is_measured_however_it_is_written(way):
    model, data = net(RELUS[way]), batch()
    with torch.no_grad():
        model.body.bias[:4] = -50.0
        expected = model.body(data[0]).clamp(min=0).numpy()
    layer = look(model, data).layer("body")
    assert layer.nonlinearity in ("relu", "clamp", "threshold")
    assert layer.activations.zero_share == (expected == 0).mean()
    assert layer.activations.mean == pytest.approx(expected.mean(), rel=1e-5)
    assert layer.activations.max == pytest.approx(expected.max(), rel=1e-6)
    dead = np.flatnonzero((expected == 0).all(0))
    assert set(range(4)) <= set(dead)
    assert layer.units.dead == tuple(dead)
    assert layer.units.dead_share == len(dead) / 16


TANHS = {
    "module": nn.Tanh(),
    "torch": torch.tanh,
    "functional": functional.tanh,
    "method": lambda x: x.tanh(),
    "in-place": lambda x: x.tanh_(),
}


@pytest.mark.parametrize("way", TANHS)
def test_saturation_is_counted_per_unit_from_the_slope(way):
    model, data = net(TANHS[way]), batch(400)
    with torch.no_grad():
        model.body.weight[:5] *= 100
        value = model.body(data[0]).double()
        slope = 1 - value.tanh().square()
    layer = look(model, data).layer("body")
    assert layer.nonlinearity == "tanh"
    saturated = ((slope < 0.05).double().mean(0) >= 0.9).nonzero()[:, 0]
    assert layer.units.saturated == tuple(saturated.tolist())
    assert layer.units.saturated_share == len(saturated) / 16
    assert 0 < len(saturated) <= 5


SMOOTH = {
    "sigmoid": (torch.sigmoid, "sigmoid"),
    "expit": (torch.special.expit, "sigmoid"),
    "sigmoid method": (lambda x: x.sigmoid_(), "sigmoid"),
    "gelu": (functional.gelu, "gelu"),
    "gelu tanh": (lambda x: functional.gelu(x, approximate="tanh"), "gelu"),
    "silu": (functional.silu, "silu"),
    "mish": (functional.mish, "mish"),
    "elu": (functional.elu, "elu"),
    "selu": (nn.SELU(), "elu"),
    "celu": (functional.celu, "celu"),
    "softplus": (functional.softplus, "softplus"),
    "hardtanh": (functional.hardtanh, "hardtanh"),
    "relu6": (functional.relu6, "relu6"),
    "hardswish": (functional.hardswish, "hardswish"),
    "hardsigmoid": (functional.hardsigmoid, "hardsigmoid"),
    "leaky": (functional.leaky_relu, "leaky_relu"),
    "prelu": (nn.PReLU(), "prelu"),
    "logsigmoid": (functional.logsigmoid, "logsigmoid"),
}


@pytest.mark.parametrize("way", SMOOTH)
def test_other_nonlinearities_are_named_and_their_values_summarised(way):
    act, name = SMOOTH[way]
    model, data = net(act), batch()
    with torch.no_grad():
        expected = act(model.body(data[0])).numpy()
    layer = look(model, data).layer("body")
    assert layer.nonlinearity in (name, way)
    assert layer.activations.mean == pytest.approx(expected.mean(), rel=1e-4, abs=1e-6)
    assert layer.activations.std == pytest.approx(expected.std(), rel=1e-4)
    assert layer.units.count == 16


def test_a_layer_without_nonlinearity_is_summarised_by_its_output():
    model, data = net(lambda x: x), batch()
    with torch.no_grad():
        expected = model.body(data[0]).numpy()
    layer = look(model, data).layer("body")
    assert layer.nonlinearity is None
    assert layer.units is None
    assert layer.activations.mean == pytest.approx(expected.mean(), rel=1e-4, abs=1e-6)


def test_a_shared_activation_module_is_told_apart_by_layer():
    torch.manual_seed(0)
    act = nn.ReLU()
    model = nn.Sequential(nn.Linear(6, 8), act, nn.Linear(8, 12), act, nn.Linear(12, 3))
    record = look(model, batch())
    assert [record.layer(name).units.count for name in ("0", "2")] == [8, 12]


def test_a_layer_called_twice_pools_both_calls():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

        def forward(self, x):
            return self.head(torch.relu(self.body(torch.relu(self.body(x)))))

    torch.manual_seed(0)
    model, data = Twice(), batch()
    with torch.no_grad():
        first = model.body(data[0]).relu()
        both = torch.cat([first, model.body(first).relu()]).numpy()
    layer = look(model, data).layer("body")
    assert layer.activations.n == both.size
    assert layer.activations.mean == pytest.approx(both.mean(), rel=1e-5)
    assert layer.activations.zero_share == pytest.approx((both == 0).mean())
    assert layer.units.dead == tuple(np.flatnonzero((both == 0).all(0)))


@pytest.mark.parametrize("channels_last", [False, True])
def test_units_of_a_convolution_are_its_channels(channels_last):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 16, 3))
    nn.init.constant_(model[0].bias, 0.0)
    with torch.no_grad():
        model[0].bias[3] = -100
    x = torch.randn(8, 2, 6, 6)
    if channels_last:
        model, x = (
            model.to(memory_format=torch.channels_last),
            x.contiguous(memory_format=torch.channels_last),
        )
    units = look(model, (x, torch.randint(0, 3, (8,)))).layer("0").units
    assert (units.count, units.dead) == (5, (3,))


def test_units_behind_a_batch_norm_belong_to_the_convolution():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 5, 3, bias=False), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(),
        nn.Linear(5 * 16, 3),
    )  # fmt: skip
    with torch.no_grad():
        model[1].bias[2] = -100
    record = look(model, (torch.randn(8, 2, 6, 6), torch.randint(0, 3, (8,))))
    found = [layer.units.dead for layer in record.layers if layer.units and layer.units.dead]
    assert found == [(2,)]


def test_sequences_have_one_unit_per_feature():
    torch.manual_seed(0)
    model = net(torch.tanh)
    x = torch.randn(4, 7, 6)
    record = look(model, (x, torch.randint(0, 3, (4, 7))))
    assert record.layer("body").units.count == 16
    assert record.layer("body").activations.n == 4 * 7 * 16


def test_the_gates_of_an_lstm_are_seen():
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.body(x)[0][:, -1])

    record = look(Last(), (torch.randn(4, 7, 6), torch.randint(0, 3, (4,))))
    seen = {layer.nonlinearity for layer in record.layers if layer.name.startswith("body")}
    assert {"sigmoid", "tanh"} <= seen


def test_the_softmax_of_fused_attention_is_seen():
    torch.manual_seed(0)

    class Fused(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.head = nn.Linear(6, 24), nn.Linear(8, 3)

        def forward(self, x):
            q, k, v = self.qkv(x).chunk(3, -1)
            return self.head(functional.scaled_dot_product_attention(q, k, v).mean(1))

    record = look(Fused(), (torch.randn(4, 7, 6), torch.randint(0, 3, (4,))))
    assert "softmax" in {layer.nonlinearity for layer in record.layers}


def test_the_softmax_of_multihead_attention_is_seen():
    torch.manual_seed(0)
    body = nn.MultiheadAttention(8, 2, batch_first=True)

    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.head = body, nn.Linear(8, 3)

        def forward(self, x):
            return self.head(self.body(x, x, x, need_weights=False)[0].mean(1))

    record = look(Heads(), (torch.randn(4, 7, 8), torch.randint(0, 3, (4,))))
    assert "softmax" in {layer.nonlinearity for layer in record.layers}
    assert {"body", "body.out_proj", "head"} <= {layer.name for layer in record.layers}


class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.stem, self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.reentrant = reentrant

    def part(self, x):
        return torch.relu(self.body(x))

    def forward(self, x):
        h = checkpoint(self.part, self.stem(x), use_reentrant=self.reentrant)
        return self.head(h)


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_code_is_seen_once(reentrant):
    torch.manual_seed(0)
    model, data = Checkpointed(reentrant), batch()
    layer = look(model, data).layer("body")
    assert (layer.nonlinearity, layer.units.count) == ("relu", 8)
    assert layer.activations.n == 32 * 8
    assert set(layer.gradients) == {"weight", "bias"}


def test_a_scripted_model_is_seen():
    torch.manual_seed(0)
    model = torch.jit.script(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    layer = look(model, batch()).layer("0")
    assert (layer.nonlinearity, layer.units.count) == ("relu", 8)


def test_a_compiled_model_is_seen():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
    record = look(torch.compile(plain, backend="eager"), batch())
    body = next(layer for layer in record.layers if layer.name.endswith("0"))
    assert (body.nonlinearity, body.units.count) == ("relu", 8)


def test_data_parallel_is_seen_through():
    torch.manual_seed(0)
    model = nn.DataParallel(nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        diagnosis = diagnose(model, batch())
    assert diagnosis.record.layer("module.0").nonlinearity == "relu"
    assert diagnosis.verdict == "pass"


def test_gradients_of_activations_are_those_of_autograd():
    model, data = net(torch.tanh), batch()
    hidden = torch.tanh(model.body(data[0]))
    hidden.retain_grad()
    functional.cross_entropy(model.head(hidden), data[1]).backward()
    found = look(model, data).layer("body").activation_gradients
    assert found.n == hidden.grad.numel()
    assert found.std == pytest.approx(float(hidden.grad.std(correction=0)), rel=1e-4)
    assert found.max == pytest.approx(float(hidden.grad.max()), rel=1e-5)


def test_the_gradient_of_an_activation_changed_in_place_is_seen():
    model, data = net(lambda x: double(x).relu_()), batch()
    found = look(model, data).layer("body")
    assert found.nonlinearity == "relu"
    assert found.activation_gradients.n == 32 * 16
