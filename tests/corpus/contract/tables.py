"""Tables of which a column is not read, and batches that the program writes to.

A column that nothing reads is labelled by its construction; whether a batch is another one in the
next epoch by a second pass on the same tensors.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS, WARN
from ..causes import REWRITTEN, UNREAD
from ..nets import mlp, sequences
from ..unusual.builders import Model
from .builders import given, groups, net, numbers, row, squared

KINDS = 6


def table(count=128):
    """Columns of categories, and a class that all of them decide."""
    x = torch.randint(0, 5, (count, KINDS))
    return x, ((x.float() - 2) @ torch.randn(KINDS, 3)).argmax(1)


def embedded(column):
    """A table of embeddings for each column, which reads the column that it is told."""

    def run(m, x):
        return m.body(torch.cat([one(x[:, column(i)]) for i, one in enumerate(m.tables)], 1))

    def make():
        tables = nn.ModuleList(nn.Embedding(5, 8) for _ in range(KINDS))
        return Model(run, body=mlp(nn.ReLU, 8 * KINDS, 64, 3), tables=tables)

    return make


def tower(read, features=20):
    """A network on what is read of 20 features."""
    return lambda: Model(lambda m, x: m.body(read(x)), body=mlp(nn.ReLU, features, 64, 10))


def mixed(read):
    """Three columns of categories, beside numbers, in one table of floats."""

    def run(m, x):
        ids, rest = read(x)
        return m.body(torch.cat([m.words(ids.long()).flatten(1), m.numbers(rest)], 1))

    return lambda: Model(run, words=nn.Embedding(5, 8), body=mlp(nn.ReLU, 40, 64, 3),
                         numbers=nn.LazyLinear(16))  # fmt: skip


def side_by_side():
    x, y = table()
    return torch.cat([x[:, :3].float(), torch.randn(128, 10) + y[:, None]], 1), y


def recurrent(read, features=20):
    return lambda: Model(lambda m, x: m.head(m.cell(read(x))[0][:, -1]), head=nn.Linear(32, 3),
                         cell=nn.GRU(features, 32, batch_first=True))  # fmt: skip


def scaled():
    """Features of a larger scale, away from zero."""
    x, y = groups()
    return 2 * x + 1, y


def first(change):
    """A network that changes its inputs before it reads them."""

    def run(m, x):
        change(x)
        return m.body(x)

    return lambda: Model(run, body=net()())


def front(layer):
    return lambda: nn.Sequential(layer, *mlp(nn.ReLU, 20, 64, 10))


def spoiling(output, target):
    """An error in units of ten, whose targets are divided where they lie."""
    return squared(output, target.div_(10))


def sparing(output, target):
    return squared(output, target / 10)


def halved(model, batch):
    batch[0].mul_(0.5)
    return functional.cross_entropy(model(batch[0]), batch[1])


def halving(model, batch):
    return functional.cross_entropy(model(batch[0] * 0.5), batch[1])


CASES = [
    row("every embedding reads the first column", given(embedded(lambda i: 0), table), WARN,
        UNREAD),
    row("each embedding reads its column", given(embedded(lambda i: i), table), PASS),
    row("the last column is cut off", given(tower(lambda x: x[:, :-1], 19), groups), WARN, UNREAD),
    row("a list of columns with one twice", given(tower(lambda x: x[:, [*range(19), 3]]), groups),
        WARN, UNREAD),
    row("columns in another order", given(tower(lambda x: x.flip(1)), groups), PASS),
    row("numbers between categories left out", given(mixed(lambda x: (x[:, :3], x[:, 4:])),
        side_by_side), WARN, UNREAD),
    row("numbers beside categories", given(mixed(lambda x: (x[:, :3], x[:, 3:])), side_by_side),
        PASS),
    row("a feature that no time reads", given(recurrent(lambda x: x[..., 1:], 19), sequences),
        WARN, UNREAD),
    row("features of all times", given(recurrent(lambda x: x), sequences), PASS),
    row("division in place", given(first(lambda x: x.div_(2)), scaled), WARN, REWRITTEN),
    row("division of a copy", given(first(lambda x: x.clone().div_(2)), scaled), PASS),
    row("leaky rectifier on the inputs in place", given(front(nn.LeakyReLU(0.1, inplace=True)),
        groups), WARN, REWRITTEN),
    row("leaky rectifier on the inputs", given(front(nn.LeakyReLU(0.1)), groups), PASS),
    row("rectifier on the inputs in place", given(front(nn.ReLU(inplace=True)), groups), PASS),
    row("centring in place", given(first(lambda x: x.sub_(x.mean(0))), scaled), PASS),
    row("noise in place", given(first(lambda x: x.add_(0.1 * torch.randn_like(x))), groups), WARN,
        REWRITTEN),
    row("targets divided in place", given(net(None, 1), numbers(10.0), spoiling), WARN, REWRITTEN),
    row("targets divided", given(net(None, 1), numbers(10.0), sparing), PASS),
    row("half the inputs in place in a step", given(net(), groups, forward=halved), WARN,
        REWRITTEN),
    row("half the inputs in a step", given(net(), groups, forward=halving), PASS),
]  # fmt: skip
