"""Batches for feed-forward networks, and changes of them."""

from __future__ import annotations

import torch
from torch.nn import functional

from ..nets import classes


def labelled(features=20, kinds=5, count=64):
    return lambda: classes(features, kinds, count)


def lines(features=20, scale=1.0, count=64):
    """A nonlinear function of normal features, of unit scale times ``scale``."""

    def data():
        x = torch.randn(count, features)
        y = torch.tanh(x @ torch.randn(features, 1) / features**0.5) + x[:, :1] * x[:, 1:2]
        return x, scale * y / y.std()

    return data


def yes_no(features=20, count=64):
    """Yes or no as a column of floats."""

    def data():
        x = torch.randn(count, features)
        return x, (x[:, :1] + x[:, 1:2] > 0).float()

    return data


def moved(data, change):
    """Other inputs in a batch."""

    def build():
        x, y = data()
        return change(x), y

    return build


def words():
    x = (torch.rand(64, 2000) < 0.01).float()
    return x, (x[:, :1000].sum(1) > x[:, 1000:].sum(1)).long()


def one_hot():
    kinds = torch.randint(0, 200, (256,))
    return functional.one_hot(kinds, 200).float(), kinds % 5


def raw_table():
    x = 50 + 1950 * torch.rand(64, 10)
    return x, 600 + 1.7 * x[:, :1]


def soft(data):
    def build():
        x, y = data()
        return x, functional.one_hot(y, 5) * 0.9 + 0.02

    return build


def signs(data):
    return lambda: (lambda x, y: (x, 2 * y - 1))(*data())


def constant_columns(x):
    x[:, 5:12] = torch.tensor([0.0, 1.0, 1.0, 0.0, 3.0, -1.0, 1.0])
    return x


def stamp(x):
    """A time stamp beside standardised columns."""
    x[:, 3] = 1.6e9 + 1e7 * torch.rand(len(x))
    return x


def ages(x):
    x[:, 2] = (40 + 12 * x[:, 2]).clamp(18, 90)
    return x


def income(x):
    x[:, 7] = 30000 * (0.5 * x[:, 7]).exp()
    return x


POSITIVE = moved(labelled(), torch.abs)
