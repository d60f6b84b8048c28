"""Equations, fixed points, weights that are made or adapted, several tasks, other types."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from ..case import PASS
from ..nets import Through, adam, mlp
from ..unusual.builders import Model
from ..unusual.ensembles import TwoHeads
from ..unusual.wrappers import Answer
from .builders import given, groups, net, numbers, row, squared


def physics(m, b):
    """u″ = −π² sin πx with u(0) = u(1) = 0: the targets of the residual are zeros."""
    x = b["x"].requires_grad_()
    u = m.body(x)
    du = torch.autograd.grad(u.sum(), x, create_graph=True)[0]
    ddu = torch.autograd.grad(du.sum(), x, create_graph=True)[0]
    residual = ddu / math.pi**2 + (math.pi * x).sin()
    return functional.mse_loss(residual, torch.zeros_like(x)) + m.body(b["ends"]).square().mean()


def interval():
    return {"x": torch.rand(64, 1), "ends": torch.tensor([[0.0], [1.0]])}


def settle(m, x):
    """A fixed point found without a graph, and one step more with it."""
    u = m.enter(x)
    with torch.no_grad():
        h = torch.zeros_like(u)
        for _ in range(20):
            h = torch.tanh(m.cell(h) + u)
    return m.head(torch.tanh(m.cell(h) + u))


def fixed():
    return Model(settle, enter=nn.Linear(20, 32), cell=nn.Linear(32, 32), head=nn.Linear(32, 10))


def made(m, x, z):
    """A network whose weights another makes, called by function."""
    flat = m.maker(z)
    w, b = flat[: 32 * 20].view(32, 20) / 20**0.5, flat[32 * 20 :]
    return m.head(torch.relu(functional.linear(x, w, b)))


def maker():
    return Model(made, maker=mlp(nn.ReLU, 8, 32, 32 * 21), head=nn.Linear(32, 10))


def conditioned():
    x, y = groups()
    return (x, torch.randn(8)), y


def adapted(m, b):
    """A step of model-agnostic learning: the loss after an inner step."""
    x, y = b
    named = dict(m.named_parameters())
    loss = functional.cross_entropy(m(x[:64]), y[:64])
    slopes = torch.autograd.grad(loss, list(named.values()), create_graph=True)
    moved = {name: p - 0.1 * slope for (name, p), slope in zip(named.items(), slopes, strict=True)}
    return functional.cross_entropy(functional_call(m, moved, (x[64:],)), y[64:])


def uncertain(m, b):
    """Two tasks under learnt log-variances: below zero once both are learnt."""
    out = m(b["x"])
    kind = functional.cross_entropy(out["kind"], b["kind"])
    size = squared(out["size"], b["size"])
    return (torch.stack([kind, size]) * (-m.logs).exp() + m.logs).sum()


def two_tasks():
    model = TwoHeads()
    model.logs = nn.Parameter(torch.zeros(2))
    return model


def tasks():
    x, kind = groups(3)
    return {"x": x, "kind": kind, "size": x[:, :1].tanh()}


def weighted(m, b):
    out = m(b["x"])
    return functional.cross_entropy(out["kind"], b["kind"]) + 0.1 * squared(out["size"], b["size"])


class Adapted(nn.Module):
    """A frozen layer with a low-rank update that starts at zero."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(20, 64).requires_grad_(False)
        self.down, self.up = nn.Linear(20, 4, bias=False), nn.Linear(4, 64, bias=False)
        nn.init.zeros_(self.up.weight)
        self.head = nn.Linear(64, 10)

    def forward(self, x):
        return self.head(torch.relu(self.base(x) + self.up(self.down(x))))


def on_frozen():
    model = net()()
    model[0].requires_grad_(False)
    return model


def deep(m, x):
    """Scores of two depths in a list."""
    h = torch.relu(m.a(x))
    return [m.early(h), m.late(torch.relu(m.b(h)))]


def supervised(output, y):
    return sum(w * functional.cross_entropy(o, y) for w, o in zip((0.3, 1.0), output, strict=True))


def detector():
    """A head on places of a map, whose bias says one in a hundred."""
    head = nn.Conv1d(32, 1, 1)
    nn.init.normal_(head.weight, 0, 0.01)
    nn.init.constant_(head.bias, -math.log(99))
    return nn.Sequential(nn.Conv1d(4, 32, 3, padding=1), nn.ReLU(), head)


def places():
    x = torch.randn(16, 4, 100)
    return x, (x[:, :1] > 2.3).float()


def focal(output, y):
    bce = functional.binary_cross_entropy_with_logits(output, y, reduction="none")
    hit = torch.exp(-bce)
    return (0.25 * (1 - hit).square() * bce).sum() / y.sum()


def cast(dtype):
    def make():
        return net()().to(dtype)

    def data():
        x, y = groups()
        return x.to(dtype), y

    return make, data


def told(m, x, labels=None):
    """An answer with a loss of its own and more beside it."""
    logits = m.body(x)
    return Answer(loss=functional.cross_entropy(logits, labels), logits=logits, hidden=(x, logits))


def named():
    return dict(zip(("x", "labels"), groups(), strict=True))


def noisy(sigma):
    return Through(lambda h: h + sigma * torch.randn_like(h))


def blurred():
    return nn.Sequential(nn.Linear(20, 64), nn.ReLU(), noisy(0.1), nn.Linear(64, 10))


CASES = [
    row("equation with derivatives", given(lambda: Model(None, body=mlp(nn.Tanh, 1, 32, 32, 1)),
        interval, forward=physics), PASS),
    row("fixed point without its graph", given(fixed, groups), PASS),
    row("weights made by a network", given(maker, conditioned), PASS),
    row("loss after an inner step", given(net(), groups, forward=adapted), PASS),
    row("tasks under learnt weights", given(two_tasks, tasks, forward=uncertain,
        optimizer=adam(3e-3)), PASS),
    row("tasks in a dict", given(TwoHeads, tasks, forward=weighted), PASS),
    row("low-rank update", given(Adapted, groups), PASS),
    row("frozen body", given(on_frozen, groups), PASS),
    row("scores of two depths", given(lambda: Model(deep, a=nn.Linear(20, 32), b=nn.Linear(32, 32),
        early=nn.Linear(32, 10), late=nn.Linear(32, 10)), groups, supervised), PASS),
    row("detector with a prior", given(detector, places, focal, optimizer=adam(3e-3)), PASS),
    row("double", given(*cast(torch.double)), PASS),
    row("bfloat16", given(*cast(torch.bfloat16)), PASS),
    row("loss of the model's own", given(lambda: Model(told, body=net()()), named), PASS),
    row("noise in a hidden layer", given(blurred, groups), PASS),
    row("penalty of the weights", given(net(None, 1), numbers(), forward=lambda m, b: squared(
        m(b[0]), b[1]) + 1e-3 * sum(p.square().sum() for p in m.parameters())), PASS),
]  # fmt: skip
