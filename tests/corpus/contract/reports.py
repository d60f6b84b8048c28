"""Public reports that were tried (section 6 of cases.md)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..architectures import Variational
from ..case import BAD, FAIL, PASS
from ..causes import (
    BAD_GRADIENTS,
    DEAD,
    INPUTS,
    NONFINITE,
    ZERO,
)
from ..nets import (
    Through,
    adam,
    built,
    cnn,
    constant,
    digits,
    each,
    he,
    mlp,
    pictures,
    sgd,
)
from ..unusual.builders import Model
from .builders import given, groups, row, with_zeros


def margin_head(*, drawn):
    """A head of cosines whose weight is left as it was made, or drawn."""

    def run(m, x):
        w = m.weight / m.weight.norm(dim=1, keepdim=True)
        return 10 * functional.normalize(m.body(x)) @ w.T

    def make():
        weight = nn.Parameter(torch.zeros(10, 64))
        if drawn:
            nn.init.xavier_uniform_(weight)
        return Model(run, body=mlp(nn.ReLU, 20, 64, 64), weight=weight)

    return make


def siren():
    """Sines of 30 times a linear layer, drawn as the paper has it."""
    model = mlp(lambda: Through(lambda h: torch.sin(30 * h)), 2, 64, 64, 1)
    for index, layer in enumerate(model[::2]):
        limit = 1 / 2 if index == 0 else math.sqrt(6 / 64) / 30
        nn.init.uniform_(layer.weight, -limit, limit)
    return model


def picture(low, high):
    """The coordinates of a picture from ``low`` to ``high``, and its values."""

    def data():
        line = torch.linspace(-1, 1, 64)
        at = torch.cartesian_prod(line, line)
        value = (4 * at[:, :1]).sin() * (3 * at[:, 1:] + 1).cos()
        return low + (high - low) * (at + 1) / 2, value

    return data


def evidence(output, x):
    """The bound of a variational autoencoder: (output, mean, log-variance)."""
    out, mean, log = output
    gap = (mean.square() + log.exp() - log - 1).sum(1) / 2
    return ((out - x).square().sum(1) + gap).mean()


def drawings(top):
    def data():
        x = digits(64)[0] * top
        return x, x

    return data


def gated(*zero):
    """A branch behind a gate of two layers, of which some start at zero."""

    def make():
        model = Model(lambda m, x: m.head((h := torch.relu(m.body(x))) + m.gate(h) * m.branch(h)),
                      body=nn.Linear(20, 32), branch=nn.Linear(32, 32), head=nn.Linear(32, 10),
                      gate=mlp(nn.ReLU, 32, 32, 32, last=nn.Tanh()))  # fmt: skip
        for index in zero:
            constant(0.0)(model.gate[index])
        return model

    return make


def rooted(safety):
    """The length of a code beside it: a root of exact zeros where the sample is zero."""

    def run(m, x):
        h = m.map(x)
        return m.head(torch.cat([h, (h.square().sum(1, keepdim=True) + safety).sqrt()], 1))

    return lambda: Model(run, map=nn.Linear(20, 64, bias=False), head=nn.Linear(65, 10))


CASES = [
    row("margin head of zeros", given(margin_head(drawn=False), groups), FAIL, NONFINITE),
    row("margin head", given(margin_head(drawn=True), groups), PASS),
    # .195 and .015 after 50 and 300 steps, .103 and .0002 from −1 to 1.
    row("sines of coordinates to 255", given(siren, picture(0, 255), optimizer=adam(1e-4)), BAD,
        INPUTS),
    row("sines of coordinates to 1", given(siren, picture(-1, 1), optimizer=adam(1e-4)), PASS),
    row("variational on pixels to 255", given(lambda: Variational(784, 64, 8, last=nn.Identity()),
        drawings(255.0), evidence), FAIL, INPUTS),
    row("variational on pixels to 1", given(lambda: Variational(784, 64, 8), drawings(1.0),
        evidence), PASS),
    row("gate of two zero layers", given(gated(0, 2), groups), FAIL, (ZERO, DEAD)),
    row("gate of one zero layer", given(gated(2), groups), PASS),
    row("root of exact zeros", given(rooted(0.0), with_zeros), FAIL, BAD_GRADIENTS),
    row("root of more than zero", given(rooted(1e-4), with_zeros), PASS),
    # 2.59 3.13 2.75 1.92 1.57 1.21: a rise that comes back is no blow-up.
    row("He convolutions at a rate of .1", built(lambda: each(cnn(channels=(32, 64), dense=1024),
        he), None, lambda: pictures(64), optimizer=sgd(0.1)), PASS),
]  # fmt: skip
