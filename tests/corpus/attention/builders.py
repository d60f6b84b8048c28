"""Starts of attention models on texts and sets, and changes of their parts."""

from __future__ import annotations

import torch
from torch import nn

from ..case import titled
from ..changes import fill
from ..nets import adam, built, constant, text
from .blocks import VOCABULARY, WIDTH, Writer
from .modules import AttentionPool, Sorter, encoder

row = titled("attention")


def sets(count=32, length=10, width=WIDTH, kinds=3):
    """Normal sets of vectors whose class is a projection of their largest ones."""
    x = torch.randn(count, length, width)
    largest = x.amax(1)
    return x, ((largest - largest.mean(0)) @ torch.randn(width, kinds)).argmax(1)


def writer(change=None, opt=None, **options):
    """A Writer after ``change``; ``opt`` are options of the diagnosis."""
    made = {"optimizer": adam(3e-3), **(opt or {})}
    return built(lambda: Writer(**options), change, lambda: text(VOCABULARY), **made)


def sorter(make, change=None, *, scale=1.0, width=WIDTH):
    """A Sorter around a body after ``change``, on sets times ``scale``."""

    def data():
        x, y = sets(width=width)
        return x * scale, y

    return built(lambda: Sorter(make(), width), change, data, optimizer=adam(3e-3))


def stack(kind, change=None, *, scale=1.0):
    """A torch encoder whose copied layers are drawn anew."""

    def make():
        body = nn.TransformerEncoder(encoder(**kind)(), 3, enable_nested_tensor=False)
        for parameter in body.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        return body

    return sorter(make, change, scale=scale)


def pooled(axis):
    return built(lambda: AttentionPool(axis), None, sets, optimizer=adam(3e-3))


def every(names, value, *, block=0):
    """Constant weights and zero biases in parts of one block."""
    return fill(value, *(f"blocks.{block}.{name}" for name in names))


def zeros(*names):
    return lambda m: [constant(0.0)(getattr(m, name)) for name in names]


def glorot_all(sigma=None):
    """q and k by Glorot or N(0, sigma²)."""

    def change(model):
        for part in (model.body.q, model.body.k):
            if sigma:
                nn.init.normal_(part.weight, 0, sigma)
            else:
                nn.init.xavier_uniform_(part.weight)

    return change
