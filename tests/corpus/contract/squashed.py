"""Values that are squashed already reach a loss that squashes them again.

Cross-entropy of ten classes cannot fall below 1.461 on values from 0 to 1 and .797 on −1 to 1; BCE
not below .503 and .313. The faults stand there after 300 steps, the repaired twins below .01.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Categorical
from torch.nn import functional

from ..case import BAD, MILD, PASS
from ..causes import LEAK, SQUASHED
from ..nets import Through, adam, mlp, text
from ..unusual.builders import Model
from ..unusual.ensembles import TwoHeads
from ..unusual.generative import Pair, views
from ..unusual.wrappers import Answer
from .builders import (
    cosine,
    given,
    groups,
    halves,
    net,
    row,
    several,
    softmax,
    speaker,
    tokenwise,
)


def scene(last=None):
    """A convolutional network that names the class of every pixel."""
    return lambda: nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 1),
        *([Through(last)] if last else []),
    )  # fmt: skip


def pixels():
    x = torch.randn(8, 3, 12, 12)
    return x, x.argmax(1)


def criterion(m, b):
    return nn.CrossEntropyLoss()(m(b[0]), b[1])


def twice(m, b):
    """The sigmoid of the model's own sigmoid."""
    return functional.binary_cross_entropy(m(b[0]).sigmoid(), b[1])


def labels(last):
    """Five labels per sample in a dict."""
    return lambda: Model(lambda m, x: {"labels": last(m.body(x))}, body=mlp(nn.ReLU, 20, 64, 5))


def of_labels(output, y):
    return functional.binary_cross_entropy_with_logits(output["labels"], y)


def kinds_squashed(output, y):
    kind = functional.softmax(output["kind"], dim=1)
    return functional.cross_entropy(kind, y) + output["size"].square().mean()


def pointer(last):
    """Scores of twelve items by a query, of which one is right."""
    return lambda: Model(lambda m, x: last((m.key(x) * m.query(x.mean(1))[:, None]).sum(-1)),
                         key=mlp(nn.ReLU, 10, 32, 16), query=nn.Linear(10, 16))  # fmt: skip


def items():
    x = torch.randn(64, 12, 10)
    return x, x[..., 0].argmax(1)


def team(m, x):
    """The mean of the members' probabilities."""
    return torch.stack([one(x).softmax(1) for one in m.members]).mean(0)


def members():
    return Model(team, members=nn.ModuleList(net()() for _ in range(3)))


def answer(m, x, labels):
    """A model with a loss of its own, on probabilities."""
    p = functional.softmax(m.body(x), dim=-1)
    return Answer(loss=functional.cross_entropy(p, labels), logits=p)


def named():
    return dict(zip(("x", "labels"), groups(), strict=True))


def policy(kind):
    """The loss of imitation by a distribution that takes the output as ``kind``."""

    def forward(m, b):
        return -Categorical(**{kind: m(b[0])}).log_prob(b[1]).mean()

    return forward


bce = functional.binary_cross_entropy_with_logits


CASES = [
    row("softmax before cross-entropy", given(net(softmax), groups), BAD, SQUASHED),
    row("no softmax before cross-entropy", given(net(), groups), PASS),
    row("softmax before cross-entropy in a step", given(net(softmax), groups, forward=criterion),
        BAD, SQUASHED),
    row("softmax before cross-entropy by SGD", given(net(softmax), groups,
        optimizer=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)), BAD, SQUASHED),
    row("softmax of two classes before cross-entropy", given(net(softmax, 2), lambda: groups(2)),
        BAD, SQUASHED),
    row("softmax of pixels before cross-entropy", given(scene(softmax), pixels, optimizer=adam(
        3e-3)), BAD, SQUASHED),
    row("scores of pixels", given(scene(), pixels, optimizer=adam(3e-3)), PASS),
    row("softmax of tokens before cross-entropy", given(speaker(lambda s: s.softmax(-1)),
        lambda: text(50), tokenwise, optimizer=adam(3e-3)), BAD, SQUASHED),
    row("scores of tokens", given(speaker(), lambda: text(50), tokenwise, optimizer=adam(3e-3)),
        PASS),
    row("sigmoid before cross-entropy", given(net(torch.sigmoid), groups), BAD, SQUASHED),
    row("tanh before cross-entropy", given(net(nn.Tanh), groups), BAD, SQUASHED),
    row("cosines before cross-entropy", given(cosine(1.0), groups), BAD, SQUASHED),
    row("softmax over the batch", given(net(lambda s: s.softmax(0)), groups), BAD,
        (SQUASHED, LEAK)),
    row("softmax before label smoothing", given(net(softmax), groups, nn.CrossEntropyLoss(
        label_smoothing=0.1)), BAD, SQUASHED),
    row("softmax of one head in the loss", given(TwoHeads, lambda: groups(3), kinds_squashed), BAD,
        SQUASHED),
    row("softmax of a pointer before cross-entropy", given(pointer(softmax), items,
        optimizer=adam(3e-3)), BAD, SQUASHED),
    row("scores of a pointer", given(pointer(lambda s: s), items, optimizer=adam(3e-3)), PASS),
    row("mean of probabilities before cross-entropy", given(members, groups), BAD, SQUASHED),
    row("mean of probabilities, its logarithm in NLL", given(members, groups,
        lambda p, y: functional.nll_loss(p.log(), y)), PASS),
    row("softmax before a model's own loss", given(lambda: Model(answer, body=net()()), named), BAD,
        SQUASHED),
    row("probabilities as logits of a distribution", given(net(softmax), groups,
        forward=policy("logits")), BAD, SQUASHED),
    row("probabilities of a distribution", given(net(softmax), groups, forward=policy("probs")),
        PASS),
    row("views without a temperature", given(lambda: Pair(scale=1.0), views), BAD, SQUASHED),
    row("sigmoid before BCE with logits", given(net(nn.Sigmoid, 1), halves, bce), BAD, SQUASHED),
    row("no sigmoid before BCE with logits", given(net(None, 1), halves, bce), PASS),
    row("sigmoid and BCE", given(net(nn.Sigmoid, 1), halves, nn.BCELoss()), PASS),
    row("sigmoid of a sigmoid in a step", given(net(nn.Sigmoid, 1), halves, forward=twice), BAD,
        SQUASHED),
    row("sigmoid of a score in a step", given(net(None, 1), halves, forward=twice), PASS),
    row("tanh before BCE with logits", given(net(nn.Tanh, 1), halves, bce), BAD, SQUASHED),
    row("sigmoid of many labels before BCE with logits", given(labels(torch.sigmoid), several,
        of_labels), BAD, SQUASHED),
    row("scores of many labels", given(labels(lambda s: s), several, of_labels), PASS),
    # .165 after 300 steps where .153 is possible and the twin is at .008: little is lost.
    row("scores of at most 2", given(net(lambda s: 2 * torch.tanh(s)), groups), MILD, SQUASHED),
    row("scores of at most 6", given(net(nn.ReLU6), groups), MILD),
]  # fmt: skip
