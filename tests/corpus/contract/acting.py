"""Actors and critics, whose losses have no meaning by themselves."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.distributions import Normal
from torch.nn import functional

from ..case import BAD, FAIL, PASS
from ..causes import BROADCAST, CLAMPED, CUT_TERM, FLAT, IDLE, INPUTS, REACH, SILENT, TARGETS
from ..nets import mlp
from ..unusual.builders import Model
from .builders import given, groups, row


def agent(last=None):
    """A body with a policy and a value."""
    return lambda: Model(lambda m, x: (m.policy(h := m.body(x)), m.value(h)[:, 0]),
                         body=mlp(nn.Tanh, 20, 64, 64, last=nn.Tanh()), policy=nn.Linear(64, 10),
                         value=mlp(nn.Tanh, 64, 1, last=last))  # fmt: skip


def played(scale=1.0, worth=1.0):
    """Observations, the actions taken and their returns."""

    def data():
        x, best = groups()
        action = torch.where(torch.rand(128) < 0.5, best, torch.randint(10, (128,)))
        gain = worth * ((action == best).float() * 2 - 1 + 0.3 * torch.randn(128))
        old = torch.full((128,), -math.log(10))
        return {"x": scale * x, "action": action, "gain": gain, "old": old}

    return data


def told(m, b):
    policy, value = m(b["x"])
    log = policy.log_softmax(1)
    return log.gather(1, b["action"][:, None])[:, 0], value, -(log.exp() * log).sum(1).mean()


def reinforce(m, b):
    """REINFORCE with the batch's mean as baseline."""
    log, _, entropy = told(m, b)
    return -(log * (b["gain"] - b["gain"].mean())).mean() - 0.01 * entropy


def actor_critic(m, b):
    log, value, entropy = told(m, b)
    better = (b["gain"] - value).detach()
    gap = (b["gain"] - value).square().mean()
    return -(log * better).mean() + 0.5 * gap - 0.01 * entropy


def clipped(*, ratio=True, inverted=False, normed=True, column=False):
    """PPO at its first step, where the ratio to the old policy is 1 or near it."""

    def forward(m, b):
        log, value, entropy = told(m, b)
        better = b["gain"] - value.detach()
        better = (better - better.mean()) / (better.std() + 1e-8) if normed else better
        better = better[:, None] if column else better
        old = log.detach() if ratio else b["old"]
        r = (log - old).exp()
        near = r.clamp(1.2, 0.8) if inverted else r.clamp(0.8, 1.2)
        gain = near * better if inverted else torch.minimum(r * better, near * better)
        return -gain.mean() + 0.5 * (b["gain"] - value).square().mean() - 0.01 * entropy

    return forward


def pooled(m, b):
    """The mean of all log-densities times every return."""
    log, value, entropy = told(m, b)
    gap = (b["gain"] - value).square().mean()
    return -(log.mean() * b["gain"]).mean() + 0.5 * gap - 0.01 * entropy


def by_length(m, b):
    """A sum over samples, by the sum of a number that each of them brings."""
    log, value, entropy = told(m, b)
    gap = (b["gain"] - value).square().sum() / b["length"].sum()
    return -(log * b["gain"]).sum() / b["length"].sum() + 0.5 * gap - 0.01 * entropy


def lengths():
    return played()() | {"length": torch.randint(1, 9, (128,)).float()}


def losing():
    """Each action costs something, as where time runs."""
    held = played()()
    return held | {"gain": held["gain"] - 3}


def detached(m, b):
    """REINFORCE on log-densities that were stored as numbers."""
    log, value, _ = told(m, b)
    gap = (b["gain"] - value).square().mean()
    return -(log.detach() * (b["gain"] - b["gain"].mean())).mean() + 0.5 * gap


def q_values():
    body = mlp(nn.ReLU, 20, 64, 10)
    return Model(None, body=body, target=copy.deepcopy(body))


def q_learning(m, b):
    """Huber loss to the target network's best value."""
    with torch.no_grad():
        goal = b["gain"] + 0.9 * m.target(b["x"].roll(1, 0)).amax(1)
    taken = m.body(b["x"]).gather(1, b["action"][:, None])[:, 0]
    return functional.smooth_l1_loss(taken, goal)


def distributed(m, b):
    """Categorical Q-learning: cross-entropy to a distribution over atoms."""
    atoms = torch.linspace(-3, 3, 21)
    goal = (-(b["gain"][:, None] - atoms).square() / 0.1).softmax(1)
    scores = m(b["x"]).view(-1, 10, 21)[torch.arange(128), b["action"]]
    return -(goal * scores.log_softmax(1)).sum(1).mean()


def soft_actor(m, b):
    """The policy of soft actor-critic: a squashed Gaussian under a frozen critic."""
    mean, log = m.actor(b["x"]).chunk(2, 1)
    spread = Normal(mean, log.clamp(-5, 2).exp())
    raw = spread.rsample()
    act = raw.tanh()
    density = spread.log_prob(raw) - (1 - act.square() + 1e-6).log()
    return (0.2 * density.sum(1) - m.critic(torch.cat([b["x"], act], 1))[:, 0]).mean()


def squashed():
    critic = mlp(nn.ReLU, 24, 64, 1).requires_grad_(False)
    return Model(None, actor=mlp(nn.ReLU, 20, 64, 8), critic=critic)


def weighted(m, b):
    """Imitation weighted by the exponential of the advantage."""
    log, value, _ = told(m, b)
    better = (b["gain"] - value).detach()
    return -(log * better.exp().clamp(max=20)).mean() + (b["gain"] - value).square().mean()


CASES = [
    row("REINFORCE with a baseline", given(agent(), played(), forward=reinforce), PASS),
    row("REINFORCE on stored numbers", given(agent(), played(), forward=detached), BAD,
        (CUT_TERM, SILENT)),
    row("actor and critic in a step", given(agent(), played(), forward=actor_critic), PASS),
    row("actor and critic on raw observations", given(agent(), played(scale=2000.0),
        forward=actor_critic), BAD, (INPUTS, FLAT)),
    row("critic of at most 1 for returns of 50", given(agent(nn.Tanh()), played(worth=50.0),
        forward=actor_critic), BAD, (REACH, TARGETS)),
    row("PPO whose ratio is 1", given(agent(), played(), forward=clipped()), PASS),
    row("PPO with a critic's advantages in a column", given(agent(), played(),
        forward=clipped(column=True)), FAIL, BROADCAST),
    row("PPO whose returns are all below zero", given(agent(), losing,
        forward=clipped(normed=False)), PASS),
    row("actor and critic whose returns are all below zero", given(agent(), losing,
        forward=actor_critic), PASS),
    row("mean density times every return", given(agent(), played(), forward=pooled), BAD,
        (BROADCAST, IDLE)),
    row("sums by the sum of lengths", given(agent(), lengths, forward=by_length), PASS),
    row("PPO against a uniform policy", given(agent(), played(), forward=clipped(ratio=False)),
        PASS),
    row("PPO whose clip is the wrong way round", given(agent(), played(),
        forward=clipped(inverted=True)), BAD, (CLAMPED, SILENT, CUT_TERM)),
    row("Q-learning by Huber loss", given(q_values, played(), forward=q_learning), PASS),
    row("Q-learning of distributions", given(lambda: mlp(nn.ReLU, 20, 64, 210), played(),
        forward=distributed), PASS),
    row("soft actor", given(squashed, played(), forward=soft_actor), PASS),
    row("imitation weighted by advantage", given(agent(), played(), forward=weighted), PASS),
]  # fmt: skip
