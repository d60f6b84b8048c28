"""Starts of models with residual streams, and the ways to change one of their writers."""

from __future__ import annotations

import torch
from torch import nn

from ..case import titled
from ..nets import adam, built
from .modules import LENGTH, VOCABULARY

row = titled("residual")


def text():
    """Sequences in which each token says what the next one is."""
    step = torch.randint(1, 3, (16, 1))
    tokens = (torch.randint(VOCABULARY, (16, 1)) + step * torch.arange(LENGTH + 1)) % VOCABULARY
    return tokens[:, :-1], tokens[:, 1:]


def language(kind, change=None, **options):
    """A language model after ``change``, on `text`."""
    return built(kind, change, text, optimizer=adam(3e-3), **options)


def images():
    """Normal images whose class is the largest of random projections."""
    x = torch.randn(16, 3, 8, 8)
    return x, (x.flatten(1) @ torch.randn(192, 4)).argmax(1)


def vision(kind, change=None):
    """A model of images."""
    return built(kind, change, images, optimizer=adam(1e-3))


def times(name, factor):
    """One matrix, multiplied."""

    def change(model):
        with torch.no_grad():
            model.get_parameter(name).mul_(factor)

    return change


def redrawn(name):
    """One layer, as torch draws it."""

    def change(model):
        layer = model.get_submodule(name)
        nn.Linear.reset_parameters(layer)
        nn.init.zeros_(layer.bias)

    return change
