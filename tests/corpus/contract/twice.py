"""Losses that call the model more than once: a constant is one and the same in all calls.

By 300 steps: what tells data from noise falls from 1.4 to .04, what ranks one sample above another
from .7 to .02; a sample against itself stays at ln 2.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ..case import BAD, PASS
from ..causes import IDLE, SILENT
from .builders import given, net, row


def two(count=128):
    """Data about a centre, and noise of the same size."""
    return torch.randn(count, 20) * 0.5 + 1, torch.randn(count, 20)


def ordered(count=128):
    """Pairs of which the first has the larger sum."""
    a, b = torch.randn(count, 20), torch.randn(count, 20)
    is_first = (a.sum(1) > b.sum(1))[:, None]
    return torch.where(is_first, a, b), torch.where(is_first, b, a)


def contrast(model, batch):
    """Noise-contrastive estimation."""
    seen, noise = (model(part) for part in batch)
    return functional.softplus(-seen).mean() + functional.softplus(noise).mean()


def hinged(model, batch):
    """The loss of a critic with a hinge."""
    seen, noise = (model(part) for part in batch)
    return (1 - seen).relu().mean() + (1 + noise).relu().mean()


def ranked(model, batch):
    first, second = batch
    return -functional.logsigmoid(model(first) - model(second)).mean()


def itself(model, batch):
    first, _ = batch
    return -functional.logsigmoid(model(first) - model(first)).mean()


def met(model, batch):
    """A margin that all pairs meet."""
    first, second = batch
    return (model(first) - model(second) - 50).relu().mean()


def balanced(model, batch):
    """Rewards the score of each sample in one call, and takes it back in another."""
    first, _ = batch
    return model(first).mean() - model(first).mean() + 0.7


CASES = [
    row("data told from noise in two calls", given(net(None, 1), two, forward=contrast), PASS),
    row("critic of data and noise in two calls", given(net(None, 1), two, forward=hinged), PASS),
    row("ranking of pairs in two calls", given(net(None, 1), ordered, forward=ranked), PASS),
    row("ranking of samples against themselves", given(net(None, 1), ordered, forward=itself), BAD,
        (SILENT, IDLE)),
    row("margin of fifty that all pairs meet", given(net(None, 1), ordered, forward=met), BAD,
        (SILENT, IDLE)),
    row("score that a second call takes back", given(net(None, 1), ordered, forward=balanced), BAD,
        (SILENT, IDLE)),
]  # fmt: skip
