"""Small networks and data whose verdict is known, for the tests of what is diagnosed."""

from __future__ import annotations

import itertools
import random

import numpy as np
import torch
from corpus.unusual.builders import Model
from torch import nn

__all__ = ["Model"]


def mlp(act, *sizes, last=()):
    """Linear layers "0", "2", "4", … with an activation between them, always the same."""
    torch.manual_seed(0)
    parts = [part for a, b in itertools.pairwise(sizes) for part in (nn.Linear(a, b), act())]
    return nn.Sequential(*parts[:-1], *last)


def two(between, width=32, features=20, kinds=3):
    """A body and a head with a function of the model and the body's output between them."""
    torch.manual_seed(0)
    return Model(lambda m, x: m.head(between(m, m.body(x))), body=nn.Linear(features, width),
                 head=nn.Linear(width, kinds))  # fmt: skip


def weighted(model, draw, *names, bias=0.0):
    """The model with weights drawn anew (default: those of all layers) and constant biases."""
    torch.manual_seed(1)
    for name, layer in model.named_modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)) and name in (names or (name,)):
            draw(layer.weight)
            if layer.bias is not None:
                nn.init.constant_(layer.bias, bias)
    return model


def constant(value):
    return lambda weight: nn.init.constant_(weight, value)


def normal(sigma):
    return lambda weight: nn.init.normal_(weight, 0, sigma)


def labelled(features=20, kinds=3, count=64):
    """Normal features whose class is the largest of random projections."""
    torch.manual_seed(2)
    x = torch.randn(count, features)
    return x, (x @ torch.randn(features, kinds)).argmax(1)


def lines(features=20, count=64, scale=1.0):
    """Normal features and a linear function of them."""
    torch.manual_seed(2)
    x = torch.randn(count, features)
    return x, scale * (x @ torch.randn(features, 1)) / features**0.5


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, rate)


def adam(rate):
    return lambda parameters: torch.optim.Adam(parameters, rate)


def ids(found):
    """The ids of the findings that count, worst first."""
    return [finding.id for finding in found.findings]


def named(found, id):
    """The one finding of an id."""
    matches = [finding for finding in found.findings if finding.id == id]
    assert len(matches) == 1, str(found)
    return matches[0]


def told(found):
    """The ids of all findings, those told as consequences too."""
    lines = [line for finding in found.findings for line in finding.consequences]
    return {*ids(found), *(line.split()[1] for line in lines)}


def bits(model, *tensors):
    """What a diagnosis must leave alone, as bytes: weights, gradients, modes, data and streams."""
    state = dict(model.state_dict())
    state |= {f"{name}.grad": p.grad for name, p in model.named_parameters()}
    state |= {f"batch {i}": tensor for i, tensor in enumerate(tensors)}
    held = {n: t if t is None else t.detach().numpy().tobytes() for n, t in state.items()}
    modes = {name: module.training for name, module in model.named_modules()}
    streams = torch.get_rng_state().numpy().tobytes(), random.getstate()
    return held, modes, streams, str(np.random.get_state())
