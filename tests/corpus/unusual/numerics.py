"""Roots, quotients and other functions whose gradient is not there, or not finite."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, PASS
from ..causes import BAD_GRADIENTS, BLOWN, OVERFLOW, SIGNAL, SILENT, TARGETS, WRITTEN, ZERO
from ..nets import adam, constant, mlp
from .builders import Model, made, row, small, start, two_layers


def distances(*, safe):
    """Distances of pairs of which half are equal: the root has no gradient at zero."""

    def build():
        model = Model(
            lambda m, a, b: ((m.body(a) - m.body(b)).square().sum(-1) + 1e-6 * safe).sqrt(),
            body=mlp(nn.ReLU, 20, 32, 8),
        )
        x, equal = torch.randn(32, 20), torch.arange(32) % 2 == 0
        other = torch.where(equal[:, None], x, torch.randn(32, 20))
        return start(model, ((x, other), (~equal).float()), nn.MSELoss())

    return build


def no_safety(m, h):
    return h / h.norm(dim=-1, keepdim=True)


def trap(m, h):
    return torch.where(h > 0, h.sqrt(), torch.zeros(()))


def through_numpy(m, h):
    return torch.from_numpy(torch.relu(h).detach().numpy())


class Ternary(torch.autograd.Function):
    """Weights of three values; ``follows`` says whether what comes back is passed on."""

    @staticmethod
    def forward(ctx, weight, follows):
        ctx.save_for_backward(weight)
        ctx.follows = follows
        return weight.abs().mean() * (weight / weight.abs().mean()).round().clamp(-1, 1)

    @staticmethod
    def backward(ctx, gradient):
        (weight,) = ctx.saved_tensors
        return gradient if ctx.follows else 0.5 * weight, None


def ternary(*, follows):
    """A network whose middle layer has ternary weights."""

    def run(m, x):
        weight = Ternary.apply(m.middle.weight, follows)
        return m.head(torch.relu(functional.linear(torch.relu(m.body(x)), weight)))

    layers = {"body": (20, 32), "middle": (32, 32), "head": (32, 3)}
    return lambda: Model(run, **{name: nn.Linear(*sizes) for name, sizes in layers.items()})


def hundreds():
    """A tanh output for targets in the hundreds."""
    batch = torch.randn(64, 20), torch.rand(64, 1) * 500 + 300
    return start(mlp(nn.ReLU, 20, 32, 1, last=nn.Tanh()), batch)


CASES = [
    row("body through numpy", made(two_layers(through_numpy)), FAIL, SILENT, "body"),
    row("root of zero distances", distances(safe=False), FAIL, BAD_GRADIENTS),
    row("root of safe distances", distances(safe=True), PASS),
    row("zero divided by its norm", made(two_layers(no_safety), lambda m: constant(0.0)(m.body)),
        FAIL, (OVERFLOW, ZERO), "body"),
    row("root in a where", made(two_layers(trap)), FAIL, (OVERFLOW, BAD_GRADIENTS), "body"),
    row("dropout of everything", made(two_layers(lambda m, h: functional.dropout(h, 1.0))), FAIL,
        (SILENT, SIGNAL)),
    row("ternary weights without what comes back", made(ternary(follows=False)), FAIL, WRITTEN,
        "middle"),
    row("ternary weights straight through", made(ternary(follows=True)), PASS),
    row("tanh for hundreds", hundreds, FAIL, TARGETS),
    row("Adam rate 10", made(small, optimizer=adam(10.0)), FAIL, BLOWN),
]  # fmt: skip
