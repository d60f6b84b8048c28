"""Two results that broadcast against each other, the same without, and pairs that are meant."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, PASS, WARN
from ..causes import BROADCAST
from ..nets import adam, mlp
from ..unusual.builders import Model
from .builders import given, groups, numbers, row

FAST = adam(3e-3)


def body(last=1, features=20):
    return lambda: mlp(nn.Tanh, features, 32, last)


def times():
    return torch.rand(64, 1) * 2


def decays(form):
    """The residual of du/dt = -2 u with u(0) = 1, for u in some form."""

    def loss(model, t):
        t = t.clone().requires_grad_(True)
        u = form(model(t))
        slope = torch.autograd.grad(u.sum(), t, create_graph=True)[0]
        start = model(torch.zeros_like(t[:1])) - 1
        return (slope + 2 * u).square().mean() + start.square().mean()

    return loss


def two_heads():
    return Model(lambda m, x: (m.mean(h := m.body(x).tanh()), m.width(h)),
                 body=nn.Linear(20, 32), mean=nn.Linear(32, 1), width=nn.Linear(32, 1))  # fmt: skip


def likelihood(form):
    """That of a normal law whose deviation comes in some form."""

    def loss(model, batch):
        x, y = batch
        mean, width = model(x)
        width = form(functional.softplus(width)) + 1e-3
        return functional.mse_loss(mean, y) + (width - (y - mean).detach().abs()).square().mean()

    return loss


def twins():
    return Model(
        lambda m, x: (m.a(x), m.b(x)), a=mlp(nn.Tanh, 20, 32, 1), b=mlp(nn.ReLU, 20, 32, 1)
    )


def agreeing(form):
    """Two views of a sample have to agree, beside the task."""

    def loss(model, batch):
        x, y = batch
        first, second = model(x)
        return functional.mse_loss(first, y) + (form(second) - first).square().mean()

    return loss


def ranked(gap):
    """Pairs in the order of their targets, by the gap of their scores."""

    def loss(model, batch):
        x, y = batch
        scores = model(x)
        order = torch.sign(y - y.T)
        return functional.softplus(-order * gap(scores)).mean()

    return loss


def squares(embedded):
    """Squared distances of all pairs by their products."""
    lengths = embedded.square().sum(1)
    return embedded.square().sum(1, keepdim=True) + lengths - 2 * embedded @ embedded.T


def contrastive(model, batch):
    x, y = batch
    apart = squares(model(x)) + 10 * torch.eye(len(x))
    return functional.cross_entropy(-apart, (y[:, None] == y).float().fill_diagonal_(0) / 12)


def mean_gap(model, batch):
    """A kernel between a result and another, all pairs."""
    x, _ = batch
    first, second = model(x)
    apart = first - second[None, :, 0]
    return apart.square().mean() + (first.mean() - 1).square()


def flat(values):
    return values.squeeze(-1)


def same(values):
    return values


CASES = [
    row("residual of a column and a row", given(body(features=1), times, forward=decays(flat),
        optimizer=FAST), WARN, BROADCAST),
    row("residual of columns", given(body(features=1), times, forward=decays(same),
        optimizer=FAST), PASS),
    row("deviation of a row against a column", given(two_heads, numbers(), forward=likelihood(
        flat), optimizer=FAST), BAD, BROADCAST),
    row("deviation and mean of columns", given(two_heads, numbers(), forward=likelihood(same),
        optimizer=FAST), PASS),
    row("agreement of a row and a column", given(twins, numbers(), forward=agreeing(flat),
        optimizer=FAST), WARN, BROADCAST),
    row("agreement of columns", given(twins, numbers(), forward=agreeing(same), optimizer=FAST),
        PASS),
    row("ranks by scores and themselves in a row", given(body(), numbers(), forward=ranked(
        lambda s: s - s.squeeze(1)), optimizer=FAST), PASS),
    row("ranks by an axis put in", given(body(), numbers(), forward=ranked(
        lambda s: s.squeeze(1)[:, None] - s.squeeze(1)), optimizer=FAST), PASS),
    row("ranks by a transposition", given(body(), numbers(), forward=ranked(lambda s: s - s.T),
        optimizer=FAST), PASS),
    row("squared distances by products", given(body(8), groups, forward=contrastive,
        optimizer=FAST), PASS),
    row("a result against all of another", given(twins, numbers(), forward=mean_gap,
        optimizer=FAST), PASS),
]  # fmt: skip
