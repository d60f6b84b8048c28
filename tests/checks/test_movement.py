"""What the optimiser moves, leaves, holds in vain or throws away."""

from __future__ import annotations

import pytest
import torch

from support.starts import (  # isort: skip
    Model, adam, bits, constant, ids, labelled, lines, mlp, named, sgd, told, two, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.errors import InitcheckError


def body():
    return mlp(nn.ReLU, 20, 64, 64, 3)


@pytest.mark.parametrize(("rate", "severity"), [
    (1e-3, None), (1e-5, None), (5e-7, "warning"), (1e-9, "error"), (0.0, "error"),
])  # fmt: skip
def test_rates_that_would_take_millions_of_steps_are_told(rate, severity):
    found = diagnose(body(), labelled(), optimizer=sgd(rate))
    severities = [f.severity for f in found.findings if f.id == "IC601"]
    assert severities == ([] if severity is None else [severity]), str(found)
    if severity:
        finding = named(found, "IC601")
        assert finding.measured == max(finding.profile.values())
        assert set(finding.profile) == {"0", "2", "4"}


@pytest.mark.parametrize(("rate", "is_told"), [(1e-7, True), (1e-6, False), (1e-5, False)])
def test_adaptive_rates_below_those_of_fine_tuning_are_told(rate, is_told):
    found = diagnose(body(), labelled(), optimizer=adam(rate))
    assert ("IC601" in told(found)) == is_told, str(found)
    if is_told:
        assert (named(found, "IC601").severity, named(found, "IC601").limit) == ("warning", 2e-6)


def test_a_small_rate_for_small_weights_is_no_small_rate():
    """Large networks are tuned with rates of 1e-7, whose weights are as small."""
    model = weighted(body(), lambda w: nn.init.normal_(w, 0, 0.02))
    assert "IC601" not in told(diagnose(model, labelled(), optimizer=adam(1e-7)))


def test_a_rate_below_the_precision_of_the_weights_is_told():
    x, y = labelled()
    model = body().to(torch.bfloat16)
    found = diagnose(model, (x.to(torch.bfloat16), y), optimizer=sgd(1e-6))
    assert named(found, "IC601").measured == 0
    fine = diagnose(model, (x.to(torch.bfloat16), y), optimizer=sgd(0.1))
    assert "IC601" not in told(fine)


def test_a_small_rate_that_reduces_the_loss_is_large_enough():
    """A bias alone can do what is asked: the weights need not move."""
    x, targets = lines()[0].double(), torch.full((64, 1), 5.0).double()
    model = Model(lambda m, x: 1e-9 * m.body(x) + m.level, body=mlp(nn.Tanh, 20, 8, 1),
                  level=nn.Parameter(torch.zeros(1))).double()  # fmt: skip
    found = diagnose(model, (x, targets), optimizer=sgd(0.1))
    assert found.losses[-1] < 0.5 * found.losses[0]
    assert "IC601" not in told(found), str(found)


@pytest.mark.parametrize("rate", [1e-3, 1e-12])
def test_weights_from_zero_are_measured_by_what_a_draw_would_be(rate):
    model = weighted(nn.Sequential(nn.Linear(20, 3)), constant(0.0))
    found = diagnose(model, labelled(), optimizer=adam(rate))
    assert ("IC601" in told(found)) == (rate < 1e-6), str(found)


def test_an_optimiser_of_another_model_moves_nothing():
    other = nn.Linear(3, 3)
    found = diagnose(body(), labelled(), optimizer=lambda p: torch.optim.SGD(other.parameters(), 1))
    assert ids(found)[0] == "IC809"
    assert {"IC601", "IC602"} <= set(told(found))


def test_tensors_of_others_that_the_optimiser_holds_are_put_back():
    """An optimiser may hold more than the model, with gradients of its own."""
    other = nn.Linear(3, 3)
    other(torch.ones(2, 3)).sum().backward()
    model, batch = body(), labelled()
    before = bits(other)
    diagnose(model, batch,
             optimizer=lambda p: torch.optim.SGD([*p, *other.parameters()], 0.1))  # fmt: skip
    assert bits(other) == before


LEFT_OUT = {
    "half": (lambda p: torch.optim.SGD(list(p)[-2:], 0.1), ("0", "2")),
    "a rate of zero": (
        lambda p: torch.optim.SGD([{"params": list(p)[:1], "lr": 0.0}, {"params": list(p)[1:]}],
                                  0.1), ("0",)),
}  # fmt: skip


@pytest.mark.parametrize("name", LEFT_OUT)
def test_weights_that_the_optimiser_leaves_out_are_named(name):
    optimizer, layers = LEFT_OUT[name]
    found = named(diagnose(body(), labelled(), optimizer=optimizer), "IC602")
    assert found.layers == layers
    assert found.severity == "warning"
    assert (found.measured, found.limit) == (0.0, 0.0)


def test_biases_that_are_left_out_are_told_and_frozen_weights_are_not():
    def weights_alone(parameters):
        return torch.optim.SGD([p for p in parameters if p.dim() > 1], 0.1)

    found = diagnose(body(), labelled(), optimizer=weights_alone)
    assert (found.verdict, ids(found)) == ("warn", ["IC602"])
    model = body()
    model[0].requires_grad_(False)
    assert diagnose(model, labelled()).verdict == "pass"


def stray(*hidden, held=False):
    """A hidden layer in a plain list, which ``parameters()`` does not know."""
    model = two(lambda m, h: torch.relu(hidden[0](torch.relu(h))))
    if held:
        model.held = nn.ModuleList(hidden)
    return model


@pytest.mark.parametrize("held", [False, True])
def test_layers_in_a_plain_list_are_found_and_their_gradients_put_back(held):
    torch.manual_seed(0)
    hidden = nn.Linear(32, 32)
    hidden.weight.grad = gradient = torch.ones(32, 32)
    model, batch = stray(hidden, held=held), labelled()
    before = bits(hidden)
    found = diagnose(model, batch)
    assert ("IC602" in ids(found)) == (not held)
    assert bits(hidden) == before
    assert hidden.weight.grad is gradient
    assert hidden.bias.grad is None


def scaled_by(scale, kind):
    """A scale of the hidden units that the model holds in one of several ways."""
    model = two(lambda m, h: torch.relu(h) * m.own() if kind == "list" else torch.relu(h) * m.scale)
    if kind == "list":
        model.scales, model.own = [scale], lambda: model.scales[0]
    elif kind == "buffer":
        model.register_buffer("scale", scale)
    else:
        model.scale = nn.Parameter(scale.detach()) if kind == "parameter" else scale
    return model


@pytest.mark.parametrize("kind", ["tensor", "buffer", "list", "parameter"])
def test_tensors_that_ask_for_a_gradient_and_are_no_parameters_are_told(kind):
    scale = torch.ones(32, requires_grad=True)
    found = diagnose(scaled_by(scale, kind), labelled())
    assert ("IC602" in ids(found)) == (kind != "parameter"), str(found)
    assert scale.grad is None


def test_plain_tensors_that_are_constant_or_that_the_optimiser_holds_are_no_strays():
    frozen, scale = torch.ones(32), torch.ones(32, requires_grad=True)
    assert diagnose(scaled_by(frozen, "tensor"), labelled()).verdict == "pass"
    held = diagnose(scaled_by(scale, "tensor"), labelled(),
                    optimizer=lambda p: torch.optim.SGD([*p, scale], 0.1))  # fmt: skip
    assert held.verdict == "pass", str(held)


def test_an_input_whose_gradient_a_model_asks_for_is_no_stray():
    def run(m, x):
        m.seen = x.detach().requires_grad_()
        y = m.head(torch.tanh(m.body(m.seen)))
        return y + torch.autograd.grad(y.sum(), m.seen, create_graph=True)[0].sum(1, keepdim=True)

    torch.manual_seed(0)
    model = Model(run, body=nn.Linear(20, 32), head=nn.Linear(32, 3))
    assert diagnose(model, labelled()).verdict == "pass"


class Stop(torch.autograd.Function):
    """Raises on the way back."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("stop")


def raising(x):
    raise ValueError("stop")


@pytest.mark.parametrize("stop", [Stop.apply, raising], ids=["backward", "forward"])
def test_their_gradients_are_put_back_when_a_pass_raises(stop):
    hidden = nn.Linear(32, 32)
    hidden.weight.grad = gradient = torch.ones(32, 32)
    late = nn.Linear(32, 32)
    model = two(lambda m, h: late(torch.relu(stop(hidden(torch.relu(h))))))
    batch = labelled()
    before = bits(hidden)
    with pytest.raises(InitcheckError, match="stop"):
        diagnose(model, batch)
    assert bits(hidden) == before
    assert hidden.weight.grad is gradient
    assert late.weight.grad is None


def test_measuring_a_range_of_sigma_leaves_their_gradients_alone():
    torch.manual_seed(0)
    hidden = nn.Linear(32, 32)
    hidden.weight.grad = gradient = torch.ones(32, 32)
    model = two(lambda m, h: torch.tanh(hidden(torch.tanh(h))))
    diagnose(model, labelled()).sigma_range("body")
    assert hidden.weight.grad is gradient
    assert bool((gradient == 1).all())


def test_layers_in_a_plain_list_keep_their_statistics():
    torch.manual_seed(0)
    model, batch = two(lambda m, h: m.others[1](m.others[0](torch.relu(h)))), labelled()
    model.others = [nn.Linear(32, 32), nn.Sequential(nn.BatchNorm1d(32))]
    before = [bits(part) for part in model.others]
    diagnose(model, batch)
    assert [bits(part) for part in model.others] == before


def test_layers_in_a_plain_list_that_the_optimiser_holds_are_put_back():
    torch.manual_seed(0)
    hidden = nn.Linear(32, 32)
    model, batch = stray(hidden), labelled()
    before = bits(hidden)
    diagnose(model, batch,
             optimizer=lambda p: torch.optim.SGD([*p, *hidden.parameters()], 0.1))  # fmt: skip
    assert bits(hidden) == before


@pytest.mark.parametrize("frozen", [False, True])
def test_a_frozen_network_outside_of_the_model_is_no_stray(frozen):
    torch.manual_seed(0)
    teacher = nn.Linear(20, 3).requires_grad_(not frozen)

    def loss(model, batch):
        with torch.set_grad_enabled(not frozen):
            goal = teacher(batch[0]).softmax(-1)
        return functional.cross_entropy(model(batch[0]), goal)

    found = diagnose(mlp(nn.ReLU, 20, 32, 3), labelled(), forward=loss)
    assert found.verdict == "pass", str(found)


@pytest.mark.parametrize(("rate", "is_told"), [(0.1, False), (20.0, True)])
def test_steps_that_blow_the_loss_up_are_told(rate, is_told):
    found = diagnose(body(), labelled(), optimizer=sgd(rate))
    assert ("IC603" in ids(found)) == is_told
    if is_told:
        finding = named(found, "IC603")
        chance = found.losses[0]
        assert finding.measured == pytest.approx(max(found.losses) / chance, rel=0.1)
        assert (finding.layer, finding.severity) == ("", "error")


def test_the_default_optimiser_is_not_blamed():
    x, y = lines()
    found = diagnose(mlp(nn.ReLU, 20, 64, 1), (x, 90 * y))
    assert "IC603" not in told(found)


def test_a_loss_that_becomes_infinite_is_blown_up():
    x, y = lines(scale=10.0)
    found = diagnose(mlp(nn.ReLU, 20, 64, 1), (x, y), optimizer=sgd(1e30))
    assert found.losses[-1] != found.losses[-1] or found.losses[-1] == float("inf")
    assert "IC603" in told(found)
    assert "IC503" not in told(found)
