"""Layers of their own kind: graphs, fixed points, signs, radial features, gates."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, PASS
from ..causes import (
    DEAD,
    EXPLODING,
    FLAT,
    LARGE,
    LOCKED,
    OVERFLOW,
    SIGNAL,
    SILENT,
    SINGLE,
    STILL,
    VANISHED,
)
from ..changes import fill, sunk
from ..nets import classes, constant, each, mlp, normal
from .builders import Model, made, row, start


class Graph(nn.Module):
    """Two rounds of messages by index_add or by a sparse product, and a sum over nodes."""

    def __init__(self, *, act=functional.relu, sparse=False, width=24):
        super().__init__()
        self.first, self.second = nn.Linear(20, width), nn.Linear(width, width)
        self.head, self.act, self.sparse = nn.Linear(width, 3), act, sparse
        edges = torch.randint(0, 64, (2, 200))
        self.register_buffer("edges", edges)

    def spread(self, h):
        if self.sparse:
            weights = torch.sparse_coo_tensor(self.edges, torch.full((200,), 0.3), (64, 64))
            return h + torch.sparse.mm(weights, h)
        return h.index_add(0, self.edges[0], h[self.edges[1]] * 0.3)

    def forward(self, x):
        h = self.act(self.first(self.spread(x)))
        return self.head(self.act(self.second(self.spread(h))))


def smooth(depth):
    """Graph layers that average over neighbours."""
    links = (torch.rand(64, 64) < 0.2).float() + torch.eye(64)

    def run(m, x):
        h = m.enter(x)
        for layer in m.hidden:
            h = torch.relu(layer(m.links @ h))
        return m.head(h)

    model = Model(run, links=links / links.sum(1, keepdim=True), enter=nn.Linear(20, 24),
                  hidden=nn.ModuleList(nn.Linear(24, 24) for _ in range(depth)),
                  head=nn.Linear(24, 3))  # fmt: skip
    return each(model.hidden, lambda part: nn.init.kaiming_normal_(part.weight)) and model


class Hyper(nn.Module):
    """A layer whose weights another network makes from a condition."""

    def __init__(self):
        super().__init__()
        self.make, self.head = mlp(nn.ReLU, 20, 16, 24 * 20), nn.Linear(24, 3)

    def forward(self, x):
        weights = self.make(x).view(-1, 24, 20) / 3
        return self.head(functional.relu(torch.einsum("bij,bj->bi", weights, x)))


class Fixed(nn.Module):
    """One layer iterated towards a fixed point, or as the steps of an equation."""

    def __init__(self, *, rounds=15, gain=None, step=None):
        super().__init__()
        self.enter, self.cell = nn.Linear(20, 24), nn.Linear(24, 24)
        self.head, self.rounds, self.step = nn.Linear(24, 3), rounds, step
        if gain is not None:
            nn.init.orthogonal_(self.cell.weight, gain)

    def forward(self, x):
        u = self.enter(x)
        h = u if self.step else torch.zeros_like(u)
        for _ in range(self.rounds):
            if self.step:
                h = h + self.step * torch.tanh(self.cell(h))
            else:
                h = torch.tanh(self.cell(h) + u)
        return self.head(h)


class Unrolled(nn.Module):
    """One layer applied many times without the input beside it."""

    def __init__(self, act, gain, rounds=30):
        super().__init__()
        self.enter, self.cell, self.head = nn.Linear(20, 24), nn.Linear(24, 24), nn.Linear(24, 3)
        self.act, self.rounds = act, rounds
        nn.init.orthogonal_(self.cell.weight, gain)

    def forward(self, x):
        h = self.enter(x)
        for _ in range(self.rounds):
            h = self.act(self.cell(h))
        return self.head(h)


def speed(sigma):
    """Twenty steps of a linear equation."""

    def run(m, x):
        h = m.enter(x)
        for _ in range(20):
            h = h + m.cell(h)
        return m.head(h)

    model = Model(run, enter=nn.Linear(20, 24), cell=nn.Linear(24, 24), head=nn.Linear(24, 3))
    nn.init.normal_(model.cell.weight, 0, sigma)
    return model


class Step(torch.autograd.Function):
    """The sign, with a straight-through gradient or with none."""

    @staticmethod
    def forward(ctx, x, through):
        ctx.through = through
        return x.sign()

    @staticmethod
    def backward(ctx, gradient):
        return (gradient if ctx.through else torch.zeros_like(gradient)), None


class Binary(nn.Module):
    """A layer of signs."""

    def __init__(self, *, through):
        super().__init__()
        self.body, self.head, self.through = nn.Linear(20, 32), nn.Linear(32, 3), through

    def forward(self, x):
        return self.head(Step.apply(self.body(x), self.through))


class Complex(nn.Module):
    """A complex layer between two real ones."""

    def __init__(self, value=None):
        super().__init__()
        self.enter, self.head = nn.Linear(20, 32), nn.Linear(16, 3)
        self.weight = nn.Parameter(torch.randn(16, 16, dtype=torch.cfloat) / 4)
        if value is not None:
            nn.init.constant_(self.weight, value)
            each(self, constant(value))

    def forward(self, x):
        return self.head((torch.view_as_complex(self.enter(x).view(-1, 16, 2)) @ self.weight).abs())


def excited(bias):
    """A hard gate on the hidden layer."""
    gate = nn.Linear(32, 32)
    nn.init.constant_(gate.bias, bias)
    return Model(lambda m, x: m.head((h := torch.relu(m.body(x))) * functional.hardsigmoid(
        m.gate(h))), body=nn.Linear(20, 32), gate=gate, head=nn.Linear(32, 3))  # fmt: skip


def held(act, value):
    return made(lambda: mlp(act, 20, 32, 32, 3), lambda m: m[2].bias.fill_(value))


def grouped():
    """A group norm whose groups hold a single value each."""
    return nn.Sequential(nn.Unflatten(1, (20, 1, 1)), nn.Conv2d(20, 32, 1), nn.GroupNorm(32, 32),
                         nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))  # fmt: skip


def narrow():
    """A layer norm of one feature."""
    return nn.Sequential(nn.Linear(20, 1), nn.LayerNorm(1), nn.Linear(1, 16), nn.Tanh(),
                         nn.Linear(16, 3))  # fmt: skip


def radial(width):
    """Radial features around drawn centres in thirty dimensions."""
    return lambda: start(
        Model(lambda m, x: m.head(torch.exp(-torch.cdist(x, m.centres).square() / width)),
              centres=nn.Parameter(torch.randn(40, 30)), head=nn.Linear(40, 3)), classes(30),
    )  # fmt: skip


def force():
    """Forces as the gradient of an energy, trained through it."""

    def run(m, x):
        x = x.requires_grad_()
        return torch.autograd.grad(m.energy(x).sum(), x, create_graph=True)[0]

    x = torch.randn(64, 20)
    return start(Model(run, energy=mlp(nn.SiLU, 20, 32, 1)), (x, -x.tanh()))


def spectral():
    """Two Fourier layers, their complex weights from a positive uniform draw."""

    def run(m, x):
        h = m.enter(x[..., None])
        for weight, layer in zip(m.weights, m.layers, strict=True):
            z = torch.fft.rfft(h, dim=1)
            low = torch.einsum("bki,kio->bko", z[:, :8], weight)
            z = torch.cat([low, torch.zeros_like(z[:, 8:])], 1)
            h = functional.gelu(torch.fft.irfft(z, n=32, dim=1) + layer(h))
        return m.leave(h)[..., 0]

    weights = nn.ParameterList(
        nn.Parameter(torch.rand(8, 12, 12, dtype=torch.cfloat) / 144) for _ in range(2)
    )
    model = Model(run, enter=nn.Linear(1, 12), leave=nn.Linear(12, 1), weights=weights,
                  layers=nn.ModuleList(nn.Linear(12, 12) for _ in range(2)))  # fmt: skip
    x = torch.randn(16, 32)
    return start(model, (x, x.cumsum(1) / 4))


CASES = [
    row("graph", made(Graph), PASS),
    row("constant graph", made(Graph, fill(0.05, "first", "second")), FAIL, LOCKED, "first"),
    row("graph that ends dead", made(lambda: Graph(sparse=True), sunk("second")), FAIL, DEAD,
        "second"),
    row("hypernetwork", made(Hyper), PASS),
    row("fixed point", made(Fixed), PASS),
    row("fixed point without gain limit", made(lambda: Fixed(gain=30.0, rounds=30)), FAIL,
        (FLAT, EXPLODING), "cell"),
    row("equation of constant speed and head", made(lambda: Fixed(step=0.1),
        fill(0.1, "enter", "cell", "head")), FAIL, LOCKED, "enter"),
    row("shared layer that shrinks", made(lambda: Unrolled(torch.tanh, 0.3)), FAIL, VANISHED,
        "enter cell head"),
    row("shared layer that explodes", made(lambda: Unrolled(functional.leaky_relu, 4.0)), FAIL,
        (*LARGE, OVERFLOW), "enter cell head"),
    row("signs without gradient", made(lambda: Binary(through=False)), FAIL, SILENT, "body"),
    row("complex layer", made(Complex), PASS),
    row("complex layers of .1", made(lambda: Complex(0.1)), FAIL, LOCKED),
    row("sixty averages over a graph", made(lambda: smooth(60)), FAIL, SIGNAL),
    row("two averages over a graph", made(lambda: smooth(2)), PASS),
    row("hard gate shut", made(lambda: excited(-20.0)), FAIL, (DEAD, FLAT), "gate"),
    row("hard gate", made(lambda: excited(0.0)), PASS),
    row("ReLU6 held at 6", held(nn.ReLU6, 30.0), FAIL, (DEAD, FLAT), "2"),
    row("hardtanh held at 1", held(nn.Hardtanh, 30.0), FAIL, (DEAD, FLAT), "2"),
    row("hardshrink of small weights", made(lambda: mlp(nn.Hardshrink, 20, 32, 32, 3),
        lambda m: each(m, normal(0.01))), FAIL, (DEAD, SILENT, SIGNAL)),
    row("LayerNorm of one feature", made(narrow), FAIL, SINGLE, "1"),
    row("GroupNorm of single values", made(grouped), FAIL, SINGLE, "2"),
    row("narrow radial features", radial(0.25), FAIL, (STILL, *VANISHED)),
    row("wide radial features", radial(60.0), PASS),
    row("equation that explodes", made(lambda: speed(1.0)), FAIL, LARGE, "enter cell head"),
    row("slow equation", made(lambda: speed(0.01)), PASS),
    row("forces of an energy", force, PASS),
    row("Fourier layers", spectral, PASS),
]  # fmt: skip
