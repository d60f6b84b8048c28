"""Softmaxes, sigmoids and bounds that stand where they belong."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS
from ..nets import classes, sequences
from ..unusual.builders import Model
from .builders import cosine, given, groups, halves, log_softmax, net, row, several, softmax


def mixed(m, x):
    """The logarithm of a mixture of softmaxes."""
    weights = m.gate(x).softmax(-1)
    parts = m.parts(x).view(-1, 4, 10).softmax(-1)
    return (weights[..., None] * parts).sum(1).log()


def mixture():
    return Model(mixed, gate=nn.Linear(20, 4), parts=net(outputs=40)())


def gated(m, x):
    """Scores of experts, weighted by a softmax gate."""
    return (m.gate(x).softmax(-1)[..., None] * m.parts(x).view(-1, 4, 10)).sum(1)


def sigmoids(m, x):
    """Gates of a hidden layer before a linear head."""
    return m.head(torch.sigmoid(m.gate(x)) * torch.tanh(m.body(x)))


def topics(m, x):
    """A linear head on shares of topics."""
    return m.head(m.body(x).softmax(-1))


def attentive(m, x):
    weights = (m.query(x) @ m.key(x).transpose(1, 2) / 20**0.5).softmax(-1)
    return m.head((weights @ x).flatten(1))


def pooled(m, x):
    """Multiple instances: attention weights over the twelve of them."""
    return m.head((m.score(torch.tanh(m.body(x))).softmax(1) * x).sum(1))


def copying(m, x):
    """A pointer-generator: the logarithm of a mixture of writing and copying."""
    p = torch.sigmoid(m.switch(x))
    return (p * m.write(x).softmax(-1) + (1 - p) * m.copy(x).softmax(-1)).log()


def tree(m, x):
    """A hierarchical softmax over sixteen leaves: sums of log-sigmoids of four levels."""
    logs = functional.logsigmoid(torch.stack([-(s := m.body(x)), s], -1))
    code = (torch.arange(16)[:, None] >> torch.arange(4)) & 1
    index = torch.tensor([0, 1, 3, 7]) + torch.stack(
        [code[:, :level] @ (2 ** torch.arange(level)) for level in range(4)], 1
    )
    return logs[:, index, code].sum(-1)


def distilled(output, y):
    """A teacher's soft labels by KL at temperature 4, beside the hard ones."""
    teacher = (functional.one_hot(y, 10) * 6.0 / 4).softmax(-1)
    soft = functional.kl_div((output / 4).log_softmax(-1), teacher, reduction="batchmean")
    return functional.cross_entropy(output, y) + 16 * soft


def teachers():
    x, y = groups()
    return x, (functional.one_hot(y, 10) * 5.0).softmax(-1)


def focal(output, y):
    p = torch.sigmoid(output)
    hit = torch.where(y > 0, p, 1 - p)
    return -(0.25 * (1 - hit).square() * hit.clamp(min=1e-6).log()).mean()


def dice(output, y):
    p = torch.sigmoid(output)
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def brier(output, y):
    return (output - functional.one_hot(y, 10)).square().sum(1).mean()


def one_hot(output, y):
    return functional.binary_cross_entropy(output, functional.one_hot(y, 10).float())


def logged(output, y):
    return functional.nll_loss((output + 1e-8).log(), y)


def capped(s):
    return 30 * torch.tanh(s / 30)


def parts(run, **made):
    return lambda: Model(run, **{name: make() for name, make in made.items()})


def linear(*size):
    return lambda: nn.Linear(*size)


bce = functional.binary_cross_entropy_with_logits

CASES = [
    row("log-softmax before cross-entropy", given(net(log_softmax), groups), PASS),
    row("log-softmax and NLL", given(net(log_softmax), groups, nn.NLLLoss()), PASS),
    row("logarithm of a softmax and NLL", given(net(softmax), groups, logged), PASS),
    row("log-sigmoid as scores", given(net(nn.LogSigmoid), groups), PASS),
    row("mixture of softmaxes", given(mixture, groups, nn.NLLLoss()), PASS),
    row("pointer-generator", given(parts(copying, switch=linear(20, 1), write=net(), copy=net()),
        groups, nn.NLLLoss()), PASS),
    row("hierarchical softmax", given(parts(tree, body=net(outputs=15)), lambda: groups(16),
        nn.NLLLoss()), PASS),
    row("mixture of scores", given(parts(gated, gate=linear(20, 4), parts=net(outputs=40)), groups),
        PASS),
    row("gated hidden layer", given(parts(sigmoids, gate=linear(20, 64), body=linear(20, 64),
        head=linear(64, 10)), groups), PASS),
    row("softmax before a linear head", given(parts(topics, body=net(outputs=32),
        head=linear(32, 3)), lambda: classes(count=128)), PASS),
    row("attention weights", given(parts(attentive, query=linear(20, 20), key=linear(20, 20),
        head=linear(240, 3)), sequences), PASS),
    row("attention over instances", given(parts(pooled, body=linear(20, 16), score=linear(16, 1),
        head=linear(20, 3)), sequences), PASS),
    row("distillation", given(net(), groups, distilled), PASS),
    row("soft targets", given(net(), teachers, nn.CrossEntropyLoss()), PASS),
    row("KL of log-softmax to soft targets", given(net(log_softmax), teachers, nn.KLDivLoss(
        reduction="batchmean")), PASS),
    row("label smoothing", given(net(), groups, nn.CrossEntropyLoss(label_smoothing=0.1)), PASS),
    row("temperature 2", given(net(lambda s: s / 2), groups), PASS),
    row("capped scores", given(net(capped), groups), PASS),
    row("tanh times 10", given(net(lambda s: 10 * torch.tanh(s / 10)), groups), PASS),
    row("cosines times 30", given(cosine(), groups), PASS),
    row("cosines times a learnt temperature", given(cosine(14.0, learnt=True), groups), PASS),
    row("softmax and Brier score", given(net(softmax), groups, brier), PASS),
    row("sigmoids and BCE over classes", given(net(nn.Sigmoid), groups, one_hot), PASS),
    row("class weights", given(net(), groups, nn.CrossEntropyLoss(torch.arange(1.0, 11) / 5)),
        PASS),
    row("positive weight", given(net(None, 1), halves, nn.BCEWithLogitsLoss(
        pos_weight=torch.tensor(3.0))), PASS),
    row("labels by BCE with logits", given(net(None, 5), several, bce), PASS),
    row("focal loss", given(net(None, 5), several, focal), PASS),
    row("dice on a sigmoid", given(net(None, 5), several, dice), PASS),
]  # fmt: skip
