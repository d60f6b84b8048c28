"""Starts that keep how their model was built."""

from __future__ import annotations

import itertools

import torch
from torch import nn

from pytest_initcheck.ledger import build

from ..case import Start, titled
from ..nets import classes

row = titled("construction")


def recorded(factory, batch=classes, **options):
    """The start of a factory; memory that nothing wrote to is clean, as it often is in a test."""

    def start():
        model, facts = build(factory)
        held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        with torch.no_grad():
            for built in facts.tensors:
                if built.unwritten == 1:
                    held[built.name].zero_()
        return Start(model, batch(), options, facts)

    return start


def stack(*sizes, draw=None, act=nn.ReLU):
    """Linear layers whose weights ``draw`` draws, with activations between them."""
    parts = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        parts += [nn.Linear(fan_in, fan_out), act()]
        if draw:
            draw(parts[-2].weight)
    return nn.Sequential(*parts[:-1])


def from_meta(make, initialise):
    """What makes a model on the meta device, gives it memory, and initialises it there."""

    def factory():
        with torch.device("meta"):
            model = make()
        model.to_empty(device="cpu")
        with torch.no_grad():
            initialise(model)
        return model

    return factory
