"""Starts of recurrent networks, and changes of their matrices and gates."""

from __future__ import annotations

import torch
from torch import nn

from ..case import Start, titled
from ..nets import Reader, Towers, adam, alike, built, text
from .data import series
from .modules import Language, Loop, Packed, Taught

row = titled("recurrent")


def reader(kind, change=None, *, data=series, scale=1.0, shift=0.0, dtype=None, opt=None, **sizes):
    """A Reader after ``change``; ``opt`` are options of the diagnosis."""

    def batch():
        x, y = data()
        x = x * scale + shift
        return x.to(dtype) if dtype else x, y

    make = lambda: Reader(kind, **sizes).to(dtype)  # noqa: E731
    return built(make, change, batch, **{"optimizer": adam(3e-3), **(opt or {})})


def loop(kind, change=None, *, layers=1, binary=False, **options):
    """A Loop after ``change``; yes or no as floats if ``binary``."""

    def batch():
        x, y = series()
        return x, (y > 0).float()[:, None] if binary else y

    loss = nn.BCELoss() if binary else None
    make = lambda: Loop(kind, layers, **options)  # noqa: E731
    return built(make, change, batch, optimizer=adam(3e-3), loss_fn=loss)


def language(opt=None, **options):
    made = {"optimizer": adam(3e-3), **(opt or {})}
    return built(lambda: Language(**options), None, lambda: text(40), **made)


def taught(**options):
    def build():
        ids, following = text(40)
        return Start(Taught(**options), ((ids, ids), following), {"optimizer": adam(3e-3)})

    return build


def added():
    """Two recurrent networks whose outputs are added; the second is a copy of the first."""
    return Start(Towers(*alike(lambda: Reader("GRU"), 2)), series())


def packed():
    x, y = series()
    return Start(Packed(), ((x, torch.randint(3, 13, (32,))), y), {"optimizer": adam(3e-3)})


def filled(value, *, key="", head=False):
    """Constant body parameters whose name holds ``key``, and the head too on request."""

    def change(model):
        for name, parameter in model.body.named_parameters():
            if key in name:
                parameter.fill_(value)
        if head:
            model.head.weight.fill_(value)
            model.head.bias.zero_()

    return change


def gate(index, value, width=24):
    """The bias of one gate."""

    def change(model):
        for name, parameter in model.body.named_parameters():
            if name.startswith("bias_ih"):
                parameter[index * width : (index + 1) * width] = value

    return change


def constant_gate(index, width=24):
    """Constant weights of one gate; the others stay drawn."""

    def change(model):
        for name, parameter in model.body.named_parameters():
            if name.startswith("weight"):
                parameter[index * width : (index + 1) * width] = 0.05

    return change


def recurrent_weight(initialise):
    """The recurrent matrices by ``initialise``, bias zero."""

    def change(model):
        for name, parameter in model.body.named_parameters():
            if name.startswith("weight_hh"):
                initialise(parameter)
            elif name.startswith("bias"):
                parameter.zero_()

    return change


def orthogonal(gain):
    return lambda weight: nn.init.orthogonal_(weight, gain)


def chrono(model):
    """Forget biases by the log of a uniform time, input biases their negative."""
    times = (torch.rand(24) * 30 + 1).log()
    model.body.bias_ih_l0.zero_()
    model.body.bias_hh_l0.zero_()
    model.body.bias_ih_l0[24:48] = times
    model.body.bias_ih_l0[:24] = -times


def mirrored(model):
    """The backward direction starts as a copy of the forward one."""
    for name, parameter in model.body.named_parameters():
        if name.endswith("_reverse"):
            parameter.copy_(getattr(model.body, name.removesuffix("_reverse")))


def cells(value, *, head=False, only=slice(None)):
    def change(model):
        for cell in model.cells[only]:
            for parameter in cell.parameters():
                parameter.fill_(value)
        if head:
            model.head.weight.fill_(value)

    return change


RELU = {"nonlinearity": "relu"}
LONG = {"data": lambda: series(80)}
