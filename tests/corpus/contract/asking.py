"""Targets of another shape than the output's, and targets that ask for nothing."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, PASS
from ..causes import (
    ALIKE,
    BAD_LOSS,
    BROADCAST,
    IDLE,
    INPUTS,
    SILENT,
    STILL,
)
from ..nets import mlp, text
from ..unusual.builders import Model
from .builders import (
    coder,
    given,
    groups,
    halves,
    mapped,
    net,
    numbers,
    row,
    several,
    signs,
    squared,
    tokenwise,
)
from .holders import fool, hinge, rival
from .unbounded import triples

FLAT_TARGETS = mapped(numbers(), lambda y: y[:, 0])


def first(s):
    return s[:, 0]


def by_hand(m, b):
    """Binary cross-entropy in full."""
    p = m(b[0]).sigmoid()
    return -(b[1] * p.log() + (1 - b[1]) * (1 - p).log()).mean()


def policy(column):
    """A policy gradient, whose advantages may stand in a column beside a row of log-densities."""

    def forward(m, b):
        log = m(b["x"]).log_softmax(1).gather(1, b["action"][:, None])[:, 0]
        good = 2.0 * (b["action"] == b["best"]) - 1
        good = good - good.mean()
        return -(log * (good[:, None] if column else good)).mean()

    return forward


def played():
    x, best = groups()
    return {"x": x, "best": best, "action": torch.where(torch.rand(128) < 0.5, best, torch.randint(
        10, (128,)))}  # fmt: skip


def even(m, b):
    """A policy gradient where every reward is 1, less their mean."""
    log = m(b["x"]).log_softmax(1).gather(1, b["action"][:, None])[:, 0]
    rewards = torch.ones(128)
    return -(log * (rewards - rewards.mean())).mean()


def quantiles(output, y):
    """Three quantiles of one target each."""
    gap, levels = y - output, torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(levels * gap, (levels - 1) * gap).mean()


def likeness(output, y):
    return functional.cosine_embedding_loss(*output, y, margin=0.2)


def pairs(low):
    """Pairs of like and unlike samples, told by ``low`` and 1."""

    def data():
        x, like = torch.randn(128, 20), torch.arange(128) % 2
        other = torch.where(like[:, None] > 0, x + 0.3 * torch.randn(128, 20), x.roll(5, 0))
        return (x, other), torch.where(like > 0, 1, low)

    return data


def two_codes():
    return Model(lambda m, a, b: (m.body(a), m.body(b)), body=mlp(nn.ReLU, 20, 64, 16))


def attracted(m, b):
    """Like samples alone, which any constant satisfies."""
    return (m(b["near"]) - m(b["anchor"])).square().sum(1).mean()


def only(share):
    """Tokens of which all but a share are told to be left out."""

    def data():
        ids, following = text(50)
        return ids, torch.where(torch.rand(following.shape) < share, following, -100)

    return data


def reader():
    return nn.Sequential(nn.Embedding(50, 64), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 50))


def rare():
    """Two positives among 128."""
    y = (torch.arange(128) < 2).float()[:, None]
    return torch.randn(128, 20) + 3 * y, y


def judged():
    model = rival()
    model.judge.requires_grad_(False)
    return model


def with_still_column():
    x, y = numbers(outputs=3)()
    return x, y * torch.tensor([1.0, 1.0, 0.0])


mse = functional.mse_loss
bce = functional.binary_cross_entropy_with_logits
NOTHING = IDLE, SILENT, STILL

CASES = [
    # A column against a row: .99 to 1 after 300 steps, the variance of the targets; .0007 aligned.
    row("column against a row", given(net(None, 1), FLAT_TARGETS, mse), BAD, BROADCAST),
    row("row against a column", given(net(first, 1), numbers(), squared), BAD, BROADCAST),
    row("row against a row", given(net(first, 1), FLAT_TARGETS, mse), PASS),
    row("column against a row in smooth L1", given(net(None, 1), FLAT_TARGETS, nn.SmoothL1Loss()),
        BAD, BROADCAST),
    row("column against a row in a step", given(net(None, 1), mapped(halves, first),
        forward=by_hand), BAD, BROADCAST),
    row("column against a column in a step", given(net(None, 1), halves, forward=by_hand), PASS),
    row("column against a row in a hinge", given(net(None, 1), mapped(signs, first), hinge), BAD,
        BROADCAST),
    row("hinge", given(net(None, 1), signs, hinge), PASS),
    row("advantages in a column", given(net(), played, forward=policy(True)), FAIL,
        (BROADCAST, IDLE)),
    row("advantages in a row", given(net(), played, forward=policy(False)), PASS),
    row("quantiles against a column", given(net(None, 3), numbers(), quantiles), PASS),
    row("labels of 0 and 1 in a hinge", given(net(None, 1), halves, hinge), FAIL, IDLE),
    row("one class in the batch", given(net(), mapped(groups, torch.zeros_like)), BAD, IDLE),
    row("zeros as targets", given(net(None, 1), mapped(numbers(), torch.zeros_like), mse), BAD,
        IDLE),
    row("targets less their mean over one column", given(net(None, 1), mapped(numbers(3.0, 5.0),
        lambda y: y - y.mean(1, keepdim=True)), mse), BAD, IDLE),
    row("labels that are all true", given(net(None, 5), mapped(several, torch.ones_like), bce), BAD,
        IDLE),
    row("labels of 0 and 1 for likeness", given(two_codes, pairs(0), likeness), BAD, IDLE),
    row("labels of -1 and 1 for likeness", given(two_codes, pairs(-1), likeness), PASS),
    row("like samples alone", given(net(None, 16), triples, forward=attracted), BAD, IDLE),
    row("rewards that are all 1", given(net(), played, forward=even), FAIL, NOTHING),
    row("no token asked for", given(reader, only(0.0), tokenwise), FAIL, (IDLE, BAD_LOSS)),
    row("one token in twenty asked for", given(reader, only(0.05), tokenwise), PASS),
    row("weights of 0 for all classes of the batch", given(net(), mapped(groups, lambda y: y % 5),
        nn.CrossEntropyLoss(torch.tensor([0.0] * 5 + [1.0] * 5))), FAIL, (IDLE, BAD_LOSS)),
    row("black pictures", given(coder(torch.sigmoid), lambda: (torch.zeros(64, 36),) * 2), BAD,
        (IDLE, INPUTS, ALIKE)),
    row("one positive in sixty", given(net(None, 1), rare, bce), PASS),
    row("one column of zeros", given(net(None, 3), with_still_column, mse), PASS),
    row("frozen judge that is to say 1", given(judged, groups, forward=fool), PASS),
]  # fmt: skip
