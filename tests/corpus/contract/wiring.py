"""How layers, losses and optimisers are wired: cuts, numbers, places, signs, what is left out.

A cut is labelled by its construction: what lies behind it keeps its weights, while its repaired
twin trains it. Signs and optimisers are labelled by 300 steps: the score that was meant falls, and
a momentum of one, which fits separable classes, swings for ever about a squared error's minimum.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, PASS, WARN
from ..causes import (
    AGAINST,
    DROPPED,
    IDLE,
    INVERTED,
    LEAK,
    MISPAIRED,
    NOT_READ,
    ONE_SOFTMAX,
    SIGNAL,
    SILENT,
    SPARE,
)
from ..nets import mlp, sequences
from ..unusual.builders import Model
from .builders import given, groups, net, row

DETACHED = {True: lambda h: h.detach(), False: lambda h: h}


def stepwise(is_cut):
    """A cell that reads a sequence step by step and answers once."""

    def run(m, x):
        h = x.new_zeros(len(x), 32)
        for step in range(x.shape[1]):
            h = m.cell(x[:, step], DETACHED[is_cut](h))
        return m.head(h)

    return lambda: Model(run, cell=nn.GRUCell(20, 32), head=nn.Linear(32, 3))


def rounds(m, x):
    """Three rounds on the same features, of which the last one is trained."""
    h = x.new_zeros(len(x), 32)
    for _ in range(3):
        h = m.cell(x, h.detach())
    return m.head(h)


def recycled():
    return Model(rounds, cell=nn.GRUCell(20, 32), head=nn.Linear(32, 10))


def beside(is_cut):
    """A second branch of which the sum of both gets the values alone."""
    return lambda: Model(lambda m, x: m.head(m.main(x).relu() + DETACHED[is_cut](m.side(x).relu())),
                         main=nn.Linear(20, 64), side=nn.Linear(20, 64), head=nn.Linear(64, 10),
                         )  # fmt: skip


def tasks():
    return Model(lambda m, x: (m.kind(h := m.body(x)), m.size(h)),
                 body=nn.Sequential(nn.Linear(20, 64), nn.ReLU()), kind=nn.Linear(64, 10),
                 size=nn.Linear(64, 1))  # fmt: skip


def two_tasks():
    x, y = groups()
    return x, (y, (2 * x[:, :1]).sum(1, keepdim=True))


def summed(of_size):
    """The losses of both tasks, the second as ``of_size`` hands it on."""

    def loss_fn(out, targets):
        size = functional.mse_loss(out[1], targets[1])
        return functional.cross_entropy(out[0], targets[0]) + of_size(size)

    return loss_fn


def twice_the_first(out, targets):
    """The second loss was copied from the first."""
    kinds = functional.cross_entropy(out[0], targets[0])
    return kinds + functional.cross_entropy(out[0], targets[0])


def positions(axis):
    """A table of positions, added along an axis of (samples, steps, features)."""

    def run(m, x):
        h = m.body(x)
        table = m.table[: x.shape[axis]]
        return m.head((h + (table[:, None] if axis == 0 else table)).relu().mean(1))

    return lambda: Model(run, body=nn.Linear(20, 32), head=nn.Linear(32, 3),
                         table=torch.randn(256, 32))  # fmt: skip


def branches(join):
    """Two branches, joined, and a head that reads both for each sample."""
    return lambda: Model(lambda m, x: m.head(join(m.one(x), m.two(x)).relu().view(-1, 64)),
                         one=nn.Linear(20, 32), two=nn.Linear(20, 32), head=nn.Linear(64, 10),
                         )  # fmt: skip


def masks():
    x = torch.randn(32, 1, 8, 8)
    return x, (x > x.mean()).float()


def finder():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))


def overlap(out, y):
    p, y = out.sigmoid().flatten(1), y.flatten(1)
    return ((2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()


def squared_share(out, y):
    return out.softmax(1).gather(1, y[:, None]).square().mean()


def less(score):
    return lambda out, y: 1 - score(out, y)


def margin(size):
    """Triplets by the distance of unit codes, with a margin."""

    def forward(m, b):
        a, p, n = (functional.normalize(m(v), dim=1) for v in b)
        near, far = (a - p).square().sum(1), (a - n).square().sum(1)
        return (near - far + size).relu().mean()

    return forward


def triplets():
    x = torch.randn(64, 20)
    return x, x + 0.3 * torch.randn_like(x), torch.randn(64, 20)


def hidden(is_inverted):
    """Attention pooling whose mask hides the padding, or all but that."""

    def run(m, x):
        is_padding = torch.arange(x.shape[1]) >= x.shape[1] // 2
        x = x.masked_fill(is_padding[:, None], 0.0)
        scores = m.score(x).squeeze(-1)
        mask = ~is_padding if is_inverted else is_padding
        weights = scores.masked_fill(mask, -1e9).softmax(1)
        return m.head((weights[..., None] * x).sum(1))

    return lambda: Model(run, score=mlp(nn.Tanh, 20, 16, 1), head=mlp(nn.ReLU, 20, 32, 3))


def one_logit(out, y):
    return functional.cross_entropy(out, (y > 4).float()[:, None])


def binary(out, y):
    return functional.binary_cross_entropy_with_logits(out, (y > 4).float()[:, None])


def with_dropout(share):
    return lambda: nn.Sequential(nn.Linear(20, 64), nn.ReLU(), nn.Dropout(share), nn.Linear(64, 10))


def dropping(is_used):
    """A projection of the hidden layer that is computed, and used or not."""

    def run(m, x):
        h = m.body(x)
        more = m.more(h)
        return m.head(h + more if is_used else h)

    return lambda: Model(run, body=nn.Linear(20, 64), more=nn.Linear(64, 64),
                         head=nn.Linear(64, 10))  # fmt: skip


def by_place(order):
    """Outputs for each place, flattened with the targets in an order of axes."""

    def loss_fn(out, y):
        return functional.cross_entropy(order(out), y.reshape(-1))

    return loss_fn


def places():
    """The class of each of 7 steps is told by its own features."""
    x = torch.randn(32, 7, 20)
    return x, x[..., :5].argmax(-1)


def descent(**options):
    return lambda parameters: torch.optim.SGD(parameters, 0.05, **options)


CASES = [
    row("state detached at each step", given(stepwise(True), sequences), WARN, SILENT),
    row("state handed on at each step", given(stepwise(False), sequences), PASS),
    row("rounds on the same data, the last one trained", given(recycled, groups), PASS),
    row("branch detached before a layer", given(beside(True), groups), FAIL, SILENT, "side"),
    row("branch beside another", given(beside(False), groups), PASS),
    row("second loss added as a number",
        given(tasks, two_tasks, summed(lambda loss: loss.item())), FAIL, SILENT, "size"),
    row("second loss added", given(tasks, two_tasks, summed(lambda loss: loss)), PASS),
    row("second loss copied from the first", given(tasks, two_tasks, twice_the_first), BAD, SPARE),
    row("positions along the samples", given(positions(0), sequences), FAIL, LEAK),
    row("positions along the steps", given(positions(1), sequences), PASS),
    row("branches joined along the samples",
        given(branches(lambda a, b: torch.cat([a, b])), groups), FAIL, LEAK),
    row("branches joined along the features",
        given(branches(lambda a, b: torch.cat([a, b], 1)), groups), PASS),
    row("overlap minimised", given(finder, masks, overlap), FAIL, INVERTED),
    row("overlap maximised", given(finder, masks, less(overlap)), PASS),
    row("probability of the right class minimised", given(net(), groups, squared_share), FAIL,
        INVERTED),
    row("probability of the right class maximised", given(net(), groups, less(squared_share)),
        PASS),
    row("margin that all triplets meet", given(net(outputs=8), triplets, forward=margin(-4.0)),
        WARN, IDLE),
    row("margin of one", given(net(outputs=8), triplets, forward=margin(1.0)), PASS),
    row("attention to the padding", given(hidden(True), sequences), FAIL, SIGNAL),
    row("attention beside the padding", given(hidden(False), sequences), PASS),
    row("cross-entropy over one logit", given(net(outputs=1), groups, one_logit), FAIL,
        ONE_SOFTMAX),
    row("binary cross-entropy over one logit", given(net(outputs=1), groups, binary), PASS),
    row("dropout of nineteen in twenty", given(with_dropout(0.95), groups), WARN, DROPPED),
    row("dropout of one in twenty", given(with_dropout(0.05), groups), PASS),
    row("projection that is dropped", given(dropping(False), groups), WARN, NOT_READ, "more"),
    row("projection that is used", given(dropping(True), groups), PASS),
    row("outputs flattened in another order than their targets",
        given(lambda: mlp(nn.ReLU, 20, 32, 5), places,
              by_place(lambda out: out.transpose(0, 1).reshape(-1, 5))), FAIL, MISPAIRED),
    row("outputs flattened as their targets",
        given(lambda: mlp(nn.ReLU, 20, 32, 5), places, by_place(lambda out: out.reshape(-1, 5))),
        PASS),
    row("momentum of one", given(net(), groups, optimizer=descent(momentum=1.0)), WARN, AGAINST),
    row("momentum of nine tenths", given(net(), groups, optimizer=descent(momentum=0.9)), PASS),
    row("maximised", given(net(), groups, optimizer=descent(maximize=True)), FAIL, AGAINST),
]  # fmt: skip
