"""Losses that have no lower bound on what reaches them, and negative losses that are meant.

The faults fall below every value: raw scores in ``nll_loss`` reach −131 in 300 steps of Adam,
−1e31 by SGD. The gradient of CTC takes its scores for normalised: raw ones end at 2.9, after −3.2.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, PASS
from ..causes import LEAK, SQUASHED, UNBOUNDED
from ..nets import adam, mlp, sgd
from ..unusual.builders import Model
from .builders import (
    coder,
    given,
    groups,
    halves,
    log_softmax,
    mapped,
    net,
    numbers,
    row,
    several,
    signs,
    sketches,
    softmax,
    squared,
)
from .scores import teachers

bce = functional.binary_cross_entropy_with_logits
nll = functional.nll_loss
LABELS = mapped(halves, lambda y: y + 1)
COPIES = mapped(several, lambda y: 3 * y)


def listener(last=None):
    """A recurrent model for CTC over forty steps."""

    def run(m, x):
        scores = m.head(m.body(x)[0])
        return last(scores) if last else scores

    return lambda: Model(run, body=nn.LSTM(12, 16, batch_first=True, bidirectional=True),
                         head=nn.Linear(32, 20))  # fmt: skip


def heard():
    return torch.randn(8, 40, 12), torch.randint(1, 20, (8, 10))


def ctc(output, targets):
    lengths = torch.full((8,), 40), torch.full((8,), 10)
    return functional.ctc_loss(output.transpose(0, 1), targets, *lengths)


def masks(top):
    """Pictures whose masks hold 0 and ``top``."""

    def data():
        x = torch.randn(16, 3, 8, 8)
        return x, (x[:, :1] + x[:, 1:2] > 0).float() * top

    return data


def painter():
    return nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 1, 1))


def batchmean(output, target):
    return functional.kl_div(output, target, reduction="batchmean")


def dice(output, y):
    return 1 - 2 * (output * y).sum() / (output.sum() + y.sum() + 1e-6)


def step_nll(m, b):
    """A step with a loss that its author takes for a cross-entropy."""
    return -m(b[0])[torch.arange(len(b[1])), b[1]].mean()


def step_log(m, b):
    return -m(b[0]).log_softmax(1)[torch.arange(len(b[1])), b[1]].mean()


def apart(m, b):
    """The distance to a like sample less that to an unlike one, without a margin."""
    near, far = (m(b[part]) - m(b["anchor"]) for part in ("near", "far"))
    return near.square().sum(1).mean() - far.square().sum(1).mean()


def hinged(m, b):
    near, far = (m(b[part]) - m(b["anchor"]) for part in ("near", "far"))
    return functional.relu(near.square().sum(1) - far.square().sum(1) + 1).mean()


def triples():
    x, far = torch.randn(2, 64, 20)
    return {"anchor": x, "near": x + 0.3 * torch.randn(64, 20), "far": far}


def gains(output, y):
    """The profit of a position, to be as large as it can."""
    return -(output * y).mean()


def entropy(output, y):
    """Cross-entropy less half the entropy: negative for a while, bounded below."""
    p = output.softmax(1)
    return functional.cross_entropy(output, y) + 0.5 * (p * p.clamp(min=1e-8).log()).sum(1).mean()


def likeness(output, y):
    return -functional.cosine_similarity(output, y).mean()


def ends(last=None, outputs=5):
    """Scores at the last token that is no padding, as classifiers on causal models give them."""

    def run(m, ids):
        scores = m.head(m.body(m.embedding(ids))[0])
        scores = scores[torch.arange(len(ids)), (ids != 0).sum(1) - 1]
        return last(scores) if last else scores

    return lambda: Model(run, embedding=nn.Embedding(50, 32), body=nn.GRU(32, 48, batch_first=True),
                         head=nn.Linear(48, outputs))  # fmt: skip


def padded():
    """Tokens of lengths that differ, each sample of those of its class."""
    y = torch.arange(64) % 5
    ids = 1 + 9 * y[:, None] + torch.randint(9, (64, 12))
    return torch.where(torch.arange(12) < torch.randint(4, 13, (64, 1)), ids, 0), y


def known(loss):
    """A loss of the places whose target is known."""

    def masked(output, y):
        return loss(output[y >= 0], y[y >= 0])

    return masked


def some():
    """Groups of which every third has no label."""
    x, y = groups()
    return x, torch.where(torch.arange(128) % 3 > 0, y, -1)


def negative(output, y):
    return -functional.cross_entropy(output, y)


def tweedie(output, y):
    return (output.exp() - y * output).mean()


CASES = [
    row("raw scores in NLL", given(net(), groups, nll), FAIL, UNBOUNDED),
    row("raw scores in NLL by SGD", given(net(), groups, nn.NLLLoss(), optimizer=sgd(0.1)), FAIL,
        UNBOUNDED),
    row("raw scores picked in a step", given(net(), groups, forward=step_nll), FAIL, UNBOUNDED),
    row("log-softmax picked in a step", given(net(), groups, forward=step_log), PASS),
    row("probabilities in NLL", given(net(softmax), groups, nll), BAD, (UNBOUNDED, SQUASHED)),
    row("log-softmax over the batch in NLL", given(net(lambda s: s.log_softmax(0)), groups, nll),
        BAD, (UNBOUNDED, LEAK)),
    row("raw scores in CTC", given(listener(), heard, ctc, optimizer=adam(3e-3)), FAIL, UNBOUNDED),
    row("probabilities in CTC", given(listener(lambda s: s.softmax(-1)), heard, ctc,
        optimizer=adam(3e-3)), BAD, (UNBOUNDED, SQUASHED)),
    row("log-softmax in CTC", given(listener(lambda s: s.log_softmax(-1)), heard, ctc,
        optimizer=adam(3e-3)), PASS),
    row("raw scores in KL", given(net(), teachers, batchmean), FAIL, UNBOUNDED),
    row("probabilities in KL", given(net(softmax), teachers, batchmean), BAD,
        (UNBOUNDED, SQUASHED)),
    row("masks of 255 in BCE with logits", given(painter, masks(255.0), bce), FAIL, UNBOUNDED),
    row("masks of 1 in BCE with logits", given(painter, masks(1.0), bce, optimizer=adam(3e-3)),
        PASS),
    row("labels 1 and 2 in BCE with logits", given(net(None, 1), LABELS, bce), FAIL, UNBOUNDED),
    row("labels of -1 and 1 in BCE with logits", given(net(None, 1), signs, bce), FAIL, UNBOUNDED),
    row("labels of 0 and 3 in BCE with logits", given(net(None, 5), COPIES, bce), FAIL, UNBOUNDED),
    row("labels of .1 and .9 in BCE with logits", given(net(None, 5), mapped(several,
        lambda y: 0.1 + 0.8 * y), bce), PASS),
    row("standardised data in BCE with logits", given(coder(), sketches(-1.7, 1.7), bce), FAIL,
        UNBOUNDED),
    row("pixels in BCE with logits", given(coder(), sketches(), bce), PASS),
    row("cross-entropy of the wrong sign", given(net(), groups, negative), FAIL, UNBOUNDED),
    row("cross-entropy of the wrong sign at last tokens", given(ends(), padded, negative,
        optimizer=adam(3e-3)), FAIL, UNBOUNDED),
    row("raw scores of last tokens in NLL", given(ends(), padded, nll, optimizer=adam(3e-3)), FAIL,
        UNBOUNDED),
    row("log-softmax of last tokens in NLL", given(ends(log_softmax), padded, nll,
        optimizer=adam(3e-3)), PASS),
    row("raw scores in NLL where labels are known", given(net(), some, known(nll)), FAIL,
        UNBOUNDED),
    row("cross-entropy where labels are known", given(net(), some,
        known(functional.cross_entropy)), PASS),
    row("squared error where numbers are known", given(net(None, 1), mapped(numbers(),
        lambda y: torch.where(torch.arange(128)[:, None] % 3 > 0, y, -9)),
        lambda o, y: squared(o[y > -9], y[y > -9])), PASS),
    row("squared error of the wrong sign", given(net(None, 1), numbers(),
        lambda o, y: -squared(o, y)), FAIL, UNBOUNDED),
    row("dice on raw scores", given(net(None, 5), several, dice), BAD, UNBOUNDED),
    row("dice on a sigmoid without a constant", given(net(torch.sigmoid, 5), several, dice), PASS),
    row("triplets without a margin", given(net(None, 16), triples, forward=apart), FAIL, UNBOUNDED),
    row("triplets with a margin", given(net(None, 16), triples, forward=hinged), PASS),
    row("profit of any position", given(net(None, 1), numbers(), gains), FAIL, UNBOUNDED),
    row("profit of a position of at most 1", given(net(nn.Tanh, 1), numbers(), gains), PASS),
    row("cross-entropy less entropy", given(net(), groups, entropy), PASS),
    row("negative likeness", given(net(None, 16), numbers(outputs=16), likeness), PASS),
    row("Poisson loss below zero", given(net(None, 5), mapped(numbers(outputs=5),
        lambda y: (y + 1).exp().round().clamp(max=12)), tweedie), PASS),
    row("NLL of log-softmax in double", given(lambda: mlp(nn.ReLU, 20, 64, 10).double(),
        lambda: (lambda x, y: (x.double(), y))(*groups()), lambda o, y: nll(log_softmax(o), y)),
        PASS),
]  # fmt: skip
