"""Kinds that public reports told of: cut weights, idle terms, gaps in the data, linear models.

A cut or idle part is labelled by its construction: it keeps its weights, while its repaired twin
trains it. Rates, linear models and losses are labelled by 300 steps on fresh data of the same kind.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..case import BAD, FAIL, MILD, PASS, WARN
from ..causes import CUT_TERM, LEFT, ONE_LAYER, SILENT, SQUASHED, STILL
from ..nets import Through, adam, mlp
from ..unusual.builders import Model
from .builders import given, groups, halves, net, numbers, row, several

GAP = float("nan")


class Factored(nn.Module):
    """A layer whose weight is made of factors, and changed on its way to its use."""

    def __init__(self, fan_in, fan_out, change, rank=8):
        super().__init__()
        self.left = nn.Parameter(torch.randn(fan_out, rank) / rank**0.5)
        self.right = nn.Parameter(torch.randn(rank, fan_in) / fan_in**0.5)
        self.bias = nn.Parameter(torch.zeros(fan_out))
        self.change = change

    def forward(self, x):
        return functional.linear(x, self.change(self.left @ self.right), self.bias)


def factored(change):
    return lambda: nn.Sequential(
        Factored(20, 64, change), nn.ReLU(), Factored(64, 10, change), Through(lambda s: s)
    )


def rounded(weight):
    """What is used is rounded, what is trained is not."""
    return weight + (torch.round(weight * 16) / 16 - weight).detach()


def bilinear(matrix):
    """Scores of a hidden layer against itself, under a matrix that the model holds somehow."""

    def run(m, x):
        h = torch.tanh(m.body(x))
        return m.head(h @ m.matrix)

    def make():
        model = Model(run, body=nn.Linear(20, 32), head=nn.Linear(32, 10))
        model.matrix = matrix()
        return model

    return make


def drawn():
    return torch.randn(32, 32) / 32**0.5


def two_answers(m, x):
    h = torch.relu(m.body(x))
    return m.kind(h), m.level(h)


def answers():
    return Model(two_answers, body=nn.Linear(20, 64), kind=nn.Linear(64, 10),
                 level=nn.Linear(64, 1))  # fmt: skip


def leveled():
    x, y = groups()
    return x, y, x[:, :1].tanh()


def with_level(term):
    """Classes, and a second term of the second answer and of its targets."""

    def forward(m, b):
        x, kind, level = b
        logits, guess = m(x)
        return functional.cross_entropy(logits, kind) + term(guess, level)

    return forward


def of_both(guess, level):
    return functional.mse_loss(guess, level)


def of_targets(guess, level):
    return functional.mse_loss(level.mean(0), level[0]) + level.square().mean()


def softened(m, b):
    """A divergence from soft targets, whose entropy is a term of the batch alone."""
    x, y = b
    soft = functional.one_hot(y, 10) * 0.9 + 0.01
    return (soft * soft.log()).sum(1).mean() - (soft * m(x).log_softmax(1)).sum(1).mean()


def rival():
    return Model(None, generator=mlp(nn.ReLU, 20, 64, 20), judge=mlp(nn.LeakyReLU, 20, 64, 1))


def judged(change):
    """A generator's step: what a judge says of its pictures, and that they vary as real ones."""

    def forward(m, b):
        fake = m.generator(b[0])
        score = m.judge(change(fake))
        return (score - 1).square().mean() + 0.1 * (fake.std() - b[0].std()).abs()

    return forward


def actor_and_critic(m, b):
    """A step of both, of which the optimiser of one is passed: the critic reads states alone."""
    action = m.generator(b[0])
    value = m.judge(b[0].detach())
    return (action - b[0]).square().mean() + (value - 1).square().mean()


def of_generator(p):
    return torch.optim.Adam(list(p)[:4], 1e-3)


def focal(squash):
    def loss(o, y):
        p = o.sigmoid()
        ce = functional.binary_cross_entropy_with_logits(squash(o), y, reduction="none")
        return (ce * (1 - p * y - (1 - p) * (1 - y)).square()).mean()

    return loss


def with_gaps():
    x, y = numbers(outputs=3)()
    y[torch.rand(y.shape) < 0.3] = GAP
    return x, y


def of_known(output, y):
    known = y.isfinite()
    return functional.mse_loss(output[known], y[known])


def points(m, x):
    """The largest and the mean of the points that there are."""
    there = ~x.isnan().any(-1, keepdim=True)
    h = torch.relu(m.body(x.nan_to_num()))
    largest = h.masked_fill(~there, -math.inf).amax(1)
    return m.head(torch.cat([largest, (h * there).sum(1) / there.sum(1)], 1))


def clouds():
    x, y = torch.randn(64, 10, 3), torch.arange(64) % 2
    x[:, 0] += 2.5 * y[:, None]
    gone = torch.rand(64, 10) < 0.3
    gone[:, 0] = False
    x[gone] = GAP
    return x, y


def either():
    """Exclusive or: a line is no better than a constant."""
    x = torch.randint(0, 2, (128, 2)).float()
    return x + 0.05 * torch.randn(128, 2), (x[:, :1] != x[:, 1:]).float()


def straight(*sizes, between=nn.Identity, last=nn.Sigmoid):
    return lambda: mlp(between, *sizes, last=last())


def projected():
    """A frozen random projection under a trained head."""
    model = mlp(nn.Identity, 20, 64, 1)
    model[0].requires_grad_(False)
    return model


def rare():
    x = torch.randn(128, 20)
    return x, (x[:, :6] > 2.0).float()


def expecting(bias):
    """A head that says from the start how rare its classes are."""

    def make():
        model = mlp(nn.ReLU, 20, 64, 6)
        nn.init.normal_(model[2].weight, 0, 0.01)
        nn.init.constant_(model[2].bias, bias)
        return model

    return make


def per_positive(output, y):
    p = output.sigmoid()
    hit = torch.where(y > 0, p, 1 - p)
    weight = torch.where(y > 0, 0.75, 0.25)
    return -(weight * (1 - hit).square() * hit.clamp(min=1e-6).log()).sum() / y.sum()


mse, bce = functional.mse_loss, functional.binary_cross_entropy

CASES = [
    row("weights made and detached", given(factored(Tensor.detach), groups), FAIL, SILENT),
    row("weights made in the graph", given(factored(lambda w: w), groups), PASS),
    row("weights rounded straight through", given(factored(rounded), groups), PASS),
    row("matrix that is no parameter", given(bilinear(lambda: drawn().requires_grad_()), groups),
        BAD, LEFT, "matrix"),
    row("matrix that is a parameter", given(bilinear(lambda: nn.Parameter(drawn())), groups), PASS),
    row("matrix of fixed numbers", given(bilinear(drawn), groups), PASS),
    row("term of the targets alone", given(answers, leveled, forward=with_level(of_targets)), BAD,
        CUT_TERM, "level"),
    row("term of the second answer", given(answers, leveled, forward=with_level(of_both)), PASS),
    row("second answer left to another step", given(answers, leveled,
        forward=with_level(lambda guess, level: 0.0)), PASS),
    row("entropy of soft targets", given(net(), groups, forward=softened), PASS),
    row("judge of detached pictures", given(rival, groups, forward=judged(Tensor.detach),
        optimizer=of_generator), BAD, CUT_TERM),
    row("judge of pictures", given(rival, groups, forward=judged(lambda f: f),
        optimizer=of_generator), PASS),
    row("actor of a step with its critic", given(rival, groups, forward=actor_and_critic,
        optimizer=of_generator), PASS),
    # Clean classes are learnt in spite of it, rare and noisy ones worse.
    row("focal loss of squashed logits", given(net(None, 5), several, focal(torch.sigmoid)), WARN,
        SQUASHED),
    row("focal loss of capped logits", given(net(None, 5), several,
        focal(lambda o: 15 * (o / 15).tanh())), PASS),
    row("labels that are missing", given(net(None, 3), with_gaps, of_known), PASS),
    row("points that are missing", given(lambda: Model(points, body=nn.Linear(3, 32),
        head=nn.Linear(64, 2)), clouds), PASS),
    row("exclusive or by lines", given(straight(2, 8, 1), either, mse, optimizer=adam(0.03)), WARN,
        ONE_LAYER),
    row("exclusive or by three lines", given(straight(2, 16, 16, 1), either, bce,
        optimizer=adam(0.01)), WARN, ONE_LAYER),
    row("exclusive or", given(straight(2, 8, 1, between=nn.Tanh), either, mse,
        optimizer=adam(0.03)), PASS),
    row("factors of a smaller rank", given(straight(20, 4, 10, last=nn.Identity), groups), PASS),
    row("head on a fixed projection", given(projected, numbers(), mse), PASS),
    row("one line", given(straight(20, 1), halves, bce), PASS),
    row("Adam at 1e-7", given(net(), groups, optimizer=adam(1e-7)), BAD, STILL),
    # Too small for a start, and what large models are tuned with.
    row("Adam at 1e-6", given(net(), groups, optimizer=adam(1e-6)), MILD),
    row("prior of rare classes", given(expecting(-4.6), rare, per_positive, optimizer=adam(3e-3)),
        PASS),
]  # fmt: skip
