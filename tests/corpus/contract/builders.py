"""Data that a small network learns in 300 steps, and that network with an end of choice."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..case import titled
from ..nets import Through, adam, built, mlp
from ..unusual.builders import Model

row = titled("contract")


def given(make, data, loss_fn=None, **options):
    """The start of ``make()`` on ``data()``, by Adam where ``options`` name nothing else."""
    return built(make, None, data, **{"optimizer": adam(1e-3), "loss_fn": loss_fn, **options})


def net(last=None, outputs=10, features=20):
    """Two layers whose output a function, or a layer that takes no argument, ends."""

    def make():
        end = last() if isinstance(last, type) else Through(last) if last else None
        return mlp(nn.ReLU, features, 64, outputs, last=end)

    return make


def groups(kinds=10, count=128, apart=2.0):
    """Features around one centre per class."""
    y = torch.arange(count) % kinds
    return torch.randn(count, 20) + apart * torch.randn(kinds, 20)[y], y


def with_zeros():
    """Groups of which six samples are all zeros."""
    x, y = groups()
    x[:6] = 0
    return x, y


def halves():
    """Two groups, told by 0. and 1. in a column."""
    x, y = groups(2)
    return x, y[:, None].float()


def signs():
    """Two groups, told by −1. and +1. in a column."""
    x, y = halves()
    return x, 2 * y - 1


def several():
    """Groups that each have their own five labels of 0. and 1."""
    x, y = groups()
    return x, (torch.rand(10, 5) < 0.5).float()[y]


def numbers(scale=1.0, shift=0.0, outputs=1):
    """A smooth function of the features, of mean 0 and deviation 1 before ``scale``."""

    def data():
        x = torch.randn(128, 20)
        y = x @ torch.randn(20, outputs) / 20**0.5 + 0.5 * (x[:, :1] * x[:, 1:2]).tanh()
        return x, (y - y.mean(0)) / y.std(0) * scale + shift

    return data


def mapped(data, function):
    """The inputs of some data, and a function of its targets."""

    def changed():
        x, y = data()
        return x, function(y)

    return changed


def sketches(low=0.0, high=1.0):
    """Smooth rows of 36 values from ``low`` to ``high`` that must come out as they went in."""

    def data():
        rows = (torch.randn(64, 4) @ torch.randn(4, 36)).sigmoid()
        x = low + (high - low) * rows
        return x, x

    return data


def coder(last=None):
    """An autoencoder for them."""
    return lambda: mlp(nn.ReLU, 36, 48, 8, 48, 36, last=last and Through(last))


def softmax(x):
    return x.softmax(1)


def log_softmax(x):
    return x.log_softmax(1)


def squared(output, target):
    """The mean squared error as many write it: the shapes are not compared."""
    return (output - target).square().mean()


def cosine(scale=30.0, *, learnt=False, kinds=10, width=64):
    """Cosines to prototypes times ``scale``, which may be learnt as its logarithm."""

    def run(m, x):
        t = m.t.exp() if learnt else scale
        return t * functional.normalize(m.body(x)) @ functional.normalize(m.kinds).T

    def make():
        more = {"t": nn.Parameter(torch.tensor(math.log(scale)))} if learnt else {}
        body = mlp(nn.ReLU, 20, 64, width)
        return Model(run, body=body, kinds=nn.Parameter(torch.randn(kinds, width)), **more)

    return make


def speaker(last=None, vocabulary=50):
    """A recurrent language model: the scores of the next token at each place."""

    def run(m, ids):
        scores = m.head(m.body(m.embedding(ids))[0])
        return last(scores) if last else scores

    return lambda: Model(run, embedding=nn.Embedding(vocabulary, 32),
                         body=nn.GRU(32, 48, batch_first=True),
                         head=nn.Linear(48, vocabulary))  # fmt: skip


def tokenwise(output, targets):
    return functional.cross_entropy(output.flatten(0, 1), targets.flatten())
