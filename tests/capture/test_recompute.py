"""Code that runs twice, apart, or with a backward pass inside: seen as if it were plain."""

from __future__ import annotations

import pytest
import torch

from support.starts import (  # isort: skip
    Model, bits, constant, ids, labelled, mlp, named, told, two, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from pytest_initcheck import diagnose

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning",
                                        "ignore:.*torch.jit:DeprecationWarning")  # fmt: skip


def series(count=16, length=6, width=16):
    torch.manual_seed(2)
    x = torch.randn(count, length, width)
    return x, (x.mean(1) @ torch.randn(width, 3)).argmax(1)


def straight(function, *inputs, **_):
    return function(*inputs)


def attended(m, x):
    q, k, v = m.mix(x).unflatten(-1, (3, 2, 8)).permute(2, 0, 3, 1, 4)
    return functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def recurrent(m, x):
    return m.mix(x)[0]


def dense(m, x):
    return torch.tanh(m.mix(x))


PARTS = {
    "attention": (lambda: nn.Linear(16, 48), attended),
    "LSTM": (lambda: nn.LSTM(16, 16, batch_first=True), recurrent),
    "GRU": (lambda: nn.GRU(16, 16, batch_first=True), recurrent),
    "dense": (lambda: nn.Linear(16, 16), dense),
}


def model_of(part, again, value=None, **options):
    make, run = PARTS[part]
    torch.manual_seed(0)
    model = Model(
        lambda m, x: m.head(again(lambda h: run(m, h), torch.relu(m.stem(x)), **options).mean(1)),
        stem=nn.Linear(16, 16), mix=make(), head=nn.Linear(16, 3),
    )  # fmt: skip
    for parameter in model.parameters() if value is not None else ():
        nn.init.constant_(parameter, value)
    return model


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("value", [None, 0.1], ids=["healthy", "constant"])
def test_a_checkpoint_is_judged_like_the_code_inside(part, reentrant, value):
    plain = diagnose(model_of(part, straight, value), series())
    model = model_of(part, checkpoint, value, use_reentrant=reentrant)
    before = bits(model, *series())
    found = diagnose(model, series())
    assert found.losses == pytest.approx(plain.losses, rel=1e-6)
    assert found.verdict == plain.verdict == ("pass" if value is None else "fail")
    assert ids(found) == ids(plain)
    assert [f.layers for f in found.findings] == [f.layers for f in plain.findings]
    assert bits(model, *series()) == before


def bent(value=None):
    model = mlp(nn.Tanh, 20, 24, 24, 3)
    return model if value is None else weighted(model, constant(value))


SCRIPTS = {
    "script": torch.jit.script,
    "trace": lambda model: torch.jit.trace(model, torch.zeros(2, 20)),
}


@pytest.mark.parametrize("way", SCRIPTS)
@pytest.mark.parametrize("value", [None, 0.1], ids=["healthy", "constant"])
def test_a_scripted_model_is_judged_like_the_plain_one_and_put_back(way, value):
    plain = diagnose(bent(value), labelled())
    model = SCRIPTS[way](bent(value))
    before = bits(model, *labelled())
    with torch.no_grad():
        output = model(labelled()[0])
    found = diagnose(model, labelled())
    assert found.verdict == plain.verdict
    assert ids(found) == ids(plain)
    assert [f.layers for f in found.findings] == [f.layers for f in plain.findings]
    assert found.losses == pytest.approx(plain.losses, rel=1e-6)
    assert bits(model, *labelled()) == before
    with torch.no_grad():
        assert torch.equal(model(labelled()[0]), output)


def test_a_scripted_part_of_a_plain_model_is_put_back():
    torch.manual_seed(0)
    norm = torch.jit.script(nn.Sequential(nn.Linear(20, 16), nn.BatchNorm1d(16), nn.ReLU()))
    model = nn.Sequential(norm, nn.Linear(16, 3))
    before = bits(model, *labelled())
    assert diagnose(model, labelled()).verdict == "pass"
    assert bits(model, *labelled()) == before


def test_the_remedy_of_a_scripted_model_leaves_it_alone():
    model = torch.jit.script(bent(0.1))
    before = bits(model, *labelled())
    assert diagnose(model, labelled()).try_remedy().verdict == "pass"
    assert bits(model, *labelled()) == before


def forces(value=None):
    def run(m, x):
        x = x.detach().requires_grad_()
        return torch.autograd.grad(m.energy(x).sum(), x, create_graph=True)[0]

    energy = mlp(nn.SiLU, 20, 32, 32, 1)
    return Model(run, energy=energy if value is None else weighted(energy, constant(value)))


def pulled():
    x = labelled()[0]
    return x, -x.tanh()


@pytest.mark.parametrize("value", [None, 0.1], ids=["healthy", "constant"])
def test_a_gradient_inside_of_the_forward_pass_is_no_hindrance(value):
    model = forces(value)
    before = bits(model, *pulled())
    found = diagnose(model, pulled())
    assert found.verdict == ("pass" if value is None else "fail"), str(found)
    assert ("IC201" in ids(found)) == (value is not None)
    assert bits(model, *pulled()) == before


def test_a_penalty_on_the_gradient_in_the_loss_is_no_hindrance():
    def penalised(model, batch):
        x = batch[0].requires_grad_()
        out = model(x)
        slope = torch.autograd.grad(out.sum(), x, create_graph=True)[0]
        return functional.cross_entropy(out, batch[1]) + slope.square().mean()

    model, batch = mlp(nn.SiLU, 20, 32, 32, 3), labelled()
    before = bits(model, *batch)
    assert diagnose(model, batch, forward=penalised).verdict == "pass"
    assert bits(model, *batch) == before


class Half(torch.autograd.Function):
    """Uses two inputs and gives a gradient for the first one alone."""

    @staticmethod
    def forward(ctx, x, other):
        return x + 0.1 * other

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


def test_a_function_that_returns_none_for_an_input_is_no_hindrance():
    model = two(lambda m, h: Half.apply(torch.relu(h), m.side(h)))
    model.side = nn.Linear(32, 32)
    found = diagnose(model, labelled())
    assert found.verdict in ("pass", "fail")
    assert found.after.layer("body").gradients["weight"].zero_share < 1
    assert {f.layer for f in found.findings} <= {"side"}


class Attention(nn.Module):
    """Attention with dropout on its weights, two ways; ``value`` fills every layer."""

    def __init__(self, way, rate, value=None):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.rate = way, rate
        self.inner = nn.MultiheadAttention(16, 2, dropout=rate, batch_first=True)
        self.up, self.head = nn.Linear(16, 16), nn.Linear(16, 3)
        for parameter in self.parameters() if value is not None else ():
            nn.init.constant_(parameter, value)

    def forward(self, x):
        if self.way == "weights":
            return self.head(torch.tanh(self.up(self.inner(x, x, x)[0])).mean(1))
        if self.way == "module":
            h = self.inner(x, x, x, need_weights=False)[0]
        elif self.way == "keyword":
            h = functional.scaled_dot_product_attention(x, x, x, dropout_p=self.rate)
        else:
            h = functional.scaled_dot_product_attention(x, x, x, None, self.rate)
        return self.head(torch.tanh(self.up(h)).mean(1))


@pytest.mark.parametrize("way", ["weights", "module", "keyword", "position"])
def test_dropout_inside_of_attention_is_off_while_looking(way):
    with_dropout = diagnose(Attention(way, 0.5), series())
    without = diagnose(Attention(way, 0.0), series())
    assert with_dropout.losses == without.losses
    locked = diagnose(Attention(way, 0.5, value=0.1), series())
    assert "IC201" in told(locked), str(locked)


def test_a_transposed_convolution_has_its_units_on_the_second_axis():
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(3, 8, 2), nn.Tanh(), nn.Conv2d(8, 3, 2))
    with torch.no_grad():
        for twin in (5, 7):
            model[0].weight[:, twin] = model[0].weight[:, 2]
            model[0].bias[twin] = model[0].bias[2]
            model[2].weight[:, twin] = model[2].weight[:, 2]
    x = torch.randn(16, 3, 6, 6)
    found = named(diagnose(model, (x, x.tanh())), "IC201")
    assert (found.layer, found.units) == ("0", (2, 5, 7))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_healthy_transposed_convolution_passes(groups):
    torch.manual_seed(0)
    model = nn.Sequential(nn.ConvTranspose2d(4, 8, 2, groups=groups), nn.ReLU(), nn.Conv2d(8, 4, 2))
    x = torch.randn(16, 4, 6, 6)
    assert diagnose(model, (x, x.tanh())).verdict == "pass"
