"""Scores to be raised, keys that move, and terms that say nothing."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional

from ..case import BAD, FAIL, PASS
from ..causes import CUT_TERM, UNBOUNDED
from ..nets import adam, mlp
from ..unusual.builders import Model
from .builders import given, groups, numbers, row

mse, divergence = functional.mse_loss, functional.kl_div


def features():
    return groups()[0]


def frozen(module):
    """A view of a module that is not trained."""
    fixed = {name: p.detach() for name, p in module.named_parameters()}
    return lambda x: functional_call(module, fixed, (x,))


def player():
    return Model(None, actor=mlp(nn.ReLU, 20, 64, 4, last=nn.Tanh()),
                 critic=mlp(nn.ReLU, 24, 64, 1))  # fmt: skip


def reward(x, act):
    return -(act - x[:, :4].tanh()).square().sum(1, keepdim=True)


def improve(m, x):
    """An actor and its critic in one step; the actor sees the critic as it is."""
    act = m.actor(x)
    tried = (act.detach() + 0.3 * torch.randn_like(act)).clamp(-1, 1)
    value = m.critic(torch.cat([x, tried], 1))
    score = frozen(m.critic)(torch.cat([x, act], 1))
    return mse(value, reward(x, tried)) - score.mean()


def painter():
    return Model(None, painter=mlp(nn.ReLU, 20, 64, 1), judge=mlp(nn.ReLU, 21, 64, 1))


def painted(m, b):
    """A generator's step: what a judge says of a picture, and how near it is to the right one."""
    x, y = b
    made = m.painter(x)
    return 10 * (made - y).abs().mean() - m.judge(torch.cat([x, made], 1)).mean()


def sliced(m, x):
    """Sliced score matching, below zero for a score that fits."""
    x = x.detach().requires_grad_()
    v, score = torch.randn_like(x), m(x)
    (slope,) = torch.autograd.grad((score * v).sum(), x, create_graph=True)
    return ((slope * v).sum(1) + score.square().sum(1) / 2).mean()


class Queue(nn.Module):
    """A network, a running mean of it, and the keys that this has made."""

    def __init__(self):
        super().__init__()
        self.own, self.other = mlp(nn.ReLU, 20, 64, 8), mlp(nn.ReLU, 20, 64, 8)
        self.other.load_state_dict(self.own.state_dict())
        self.other.requires_grad_(False)
        self.register_buffer("keys", functional.normalize(torch.randn(256, 8), dim=1))

    def forward(self, x):
        return functional.normalize(self.own(x), dim=1)


def queued(m, b):
    query = m(b[0])
    with torch.no_grad():
        for mean, p in zip(m.other.parameters(), m.own.parameters(), strict=True):
            mean.lerp_(p, 0.05)
        key = functional.normalize(m.other(b[1]), dim=1)
    logits = torch.cat([(query * key).sum(1, keepdim=True), query @ m.keys.clone().T], 1) / 0.2
    m.keys = torch.cat([key, m.keys])[:256]
    return functional.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))


def seen_twice():
    x, _ = groups()
    return x + 0.1 * torch.randn_like(x), x + 0.1 * torch.randn_like(x)


class Coupled(nn.Module):
    """Four couplings whose factors multiply: some starts stretch the data tenfold."""

    def __init__(self):
        super().__init__()
        self.nets = nn.ModuleList(mlp(nn.ReLU, 1, 24, 2) for _ in range(4))

    def forward(self, x):
        a, b, total = x[:, :1], x[:, 1:], 0.0
        for net in self.nets:
            scale, shift = net(a).chunk(2, 1)
            scale = 3 * scale.tanh()
            a, b, total = b * scale.exp() + shift, a, total + scale[:, 0]
        return torch.cat([a, b], 1), total


def likely(m, x):
    z, log = m(x)
    return (z.square().sum(1) / 2 + math.log(2 * math.pi) - log).mean()


def bent():
    z = torch.randn(128, 2)
    return torch.stack([2 * z[:, 0], z[:, 1] + 2 * z[:, 0].square() - 2], 1)


def taught():
    x = torch.randn(128, 20)
    return x, (x[:, :10] @ torch.randn(10, 10)) / 2


def distilled(of):
    """What a teacher says, softly, and its first choice; ``of(output, teacher)`` is compared."""

    def loss(output, y):
        soft = divergence((of(output, y) / 4).log_softmax(1), (y / 4).softmax(1),
                          reduction="batchmean")  # fmt: skip
        return 16 * soft + 0.1 * functional.cross_entropy(output, y.argmax(1))

    return loss


def acting():
    return Model(None, body=mlp(nn.ReLU, 20, 64, 64), policy=nn.Linear(64, 4),
                 value=nn.Linear(64, 1))  # fmt: skip


def deeds():
    x = torch.randn(128, 20)
    act = torch.randint(0, 4, (128,))
    return x, act, (x[:, :4].gather(1, act[:, None])[:, 0] + 0.1 * torch.randn(128))


def advised(along):
    """A policy's step with advantages that are normalised along an axis of (1, samples)."""

    def forward(m, b):
        x, act, got = b
        h = m.body(x)
        value = m.value(h)[:, 0]
        better = (got - value).detach()[None]
        better = better - better.mean(along, keepdim=True)
        better = better / (better.var(along, unbiased=False, keepdim=True) + 1e-8).sqrt()
        log = m.policy(h).log_softmax(1)
        chosen = log.gather(1, act[:, None])[:, 0]
        entropy = -(log.exp() * log).sum(1).mean()
        return -(chosen * better[0]).mean() + 0.5 * mse(value, got) - 0.05 * entropy

    return forward


def warming(share):
    """A term that is switched on later."""
    return lambda m, b: mse(m(b[0]), b[1]) + share * m(b[0]).square().mean()


CASES = [
    row("actor and critic in one step", given(player, features, forward=improve), PASS),
    row("judge's score beside the right picture", given(painter, numbers(), forward=painted),
        PASS),
    row("away from the right picture", given(lambda: mlp(nn.ReLU, 20, 64, 1), numbers(),
        lambda output, y: -(output - y).abs().mean()), FAIL, UNBOUNDED),
    row("sliced score matching", given(lambda: mlp(nn.Softplus, 20, 64, 20), features,
        forward=sliced), PASS),
    row("queue of keys", given(Queue, seen_twice, forward=queued), PASS),
    row("couplings that stretch", given(Coupled, bent, forward=likely, optimizer=adam(1e-2)), PASS),
    row("teacher beside itself", given(lambda: mlp(nn.ReLU, 20, 64, 10), taught,
        distilled(lambda output, y: y)), BAD, CUT_TERM),
    row("student beside its teacher", given(lambda: mlp(nn.ReLU, 20, 64, 10), taught,
        distilled(lambda output, y: output)), PASS),
    row("advantages of one value each", given(acting, deeds, forward=advised(0)), BAD, CUT_TERM),
    row("advantages of all samples", given(acting, deeds, forward=advised(1)), PASS),
    row("term that is off", given(lambda: mlp(nn.ReLU, 20, 64, 1), numbers(),
        forward=warming(0.0)), PASS),
]  # fmt: skip
