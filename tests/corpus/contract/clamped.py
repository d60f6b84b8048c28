"""Clamps that hide values outside the domain of a loss, and clamps that only round its edge off.

Where the raw number is outside, the sample has no gradient: BCE on
clamped raw numbers is at .34 after 300 steps, .009 behind a sigmoid; the error of the logarithm at
.37 for .009, that of the angle at .35 for .0008.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, PASS
from ..causes import CLAMPED, DEAD, LARGE, RECTIFIED, UNBOUNDED
from ..unusual.builders import Model
from .builders import given, groups, mapped, net, numbers, row, several, softmax, squared

EDGE = 1e-7
POSITIVE = mapped(numbers(), torch.exp)
NOISY = mapped(numbers(), lambda y: y + 0.3 * torch.randn_like(y))
ANGLES = mapped(numbers(), lambda y: math.pi * torch.sigmoid(y))


def logged(keep):
    """NLL of the logarithm of what ``keep`` makes positive."""
    return lambda output, y: functional.nll_loss(keep(output).log(), y)


def masked(output, y):
    return functional.nll_loss(output.log().nan_to_num(-10.0), y)


def magnitude(output, y):
    """The error of the logarithm."""
    return squared(output.clamp(min=1e-6).log(), y.log())


def turned(scale, squash):
    """An angle from a cosine that is made from a score."""
    return net(lambda s: squash(scale * s).clamp(-1 + 1e-6, 1 - 1e-6).acos(), 1)


def gaussian(variance):
    """The likelihood of a mean and a variance."""

    def loss(output, y):
        mean, v = output[:, :1], variance(output[:, 1:])
        return (v.log() + (y - mean).square() / v).mean() / 2

    return loss


def squashed_log(m, b):
    """The density of a tanh-squashed Gaussian at actions that touch the edge."""
    mean, log = m(b[0]).chunk(2, 1)
    raw = b[1].clamp(-0.999, 0.999).atanh()
    log = log.clamp(-20, 2)
    return (log + ((raw - mean) / log.exp()).square() / 2).mean()


def shares(m, hits, tries):
    """Hits per try, and 0 where nobody tried."""
    return m.body((hits / tries).nan_to_num(0.0))


def tried():
    x, y = groups()
    tries = torch.randint(0, 6, x.shape).float()
    return (tries * x.sigmoid(), tries), y


bce = functional.binary_cross_entropy

CASES = [
    row("raw numbers clamped for BCE", given(net(lambda s: s.clamp(EDGE, 1 - EDGE), 5), several,
        bce), BAD, (CLAMPED, DEAD)),
    row("sigmoid clamped for BCE", given(net(lambda s: s.sigmoid().clamp(EDGE, 1 - EDGE), 5),
        several, bce), PASS),
    row("raw numbers clamped for a logarithm", given(net(), groups,
        logged(lambda s: s.clamp(min=1e-8))), BAD, (CLAMPED, UNBOUNDED, *LARGE)),
    row("softmax clamped for a logarithm", given(net(softmax), groups,
        logged(lambda s: s.clamp(min=1e-8))), PASS),
    row("ReLU and 1e-8 for a logarithm", given(net(), groups, logged(lambda s: s.relu() + 1e-8)),
        BAD, (CLAMPED, UNBOUNDED, RECTIFIED, DEAD, *LARGE)),
    row("softplus shares for a logarithm", given(net(lambda s: functional.normalize(
        functional.softplus(s), 1, 1)), groups, logged(lambda p: p + 1e-8)), PASS),
    row("logarithm of raw numbers without its NaN", given(net(), groups, masked), BAD,
        (CLAMPED, UNBOUNDED)),
    row("error of the logarithm of a raw number", given(net(None, 1), POSITIVE, magnitude), BAD,
        (CLAMPED, *LARGE)),
    row("error of the logarithm of a softplus", given(net(nn.Softplus, 1), POSITIVE, magnitude),
        PASS),
    row("raw numbers clamped for an angle", given(turned(8.0, lambda s: s), ANGLES, squared), BAD,
        CLAMPED),
    row("tanh clamped for an angle", given(turned(1.0, torch.tanh), ANGLES, squared), PASS),
    row("raw variance clamped", given(net(None, 2), NOISY, gaussian(
        lambda v: v.clamp(min=1e-6))), BAD, (CLAMPED, *LARGE)),
    row("softplus variance", given(net(None, 2), NOISY, gaussian(
        lambda v: functional.softplus(v) + 1e-6)), PASS),
    row("log-variance within -10 and 10", given(net(None, 2), NOISY, gaussian(
        lambda v: v.clamp(-10, 10).exp())), PASS),
    row("actions clamped for atanh", given(net(None, 2), mapped(numbers(), torch.tanh),
        forward=squashed_log), PASS),
    row("shares of no tries filled", given(lambda: Model(shares, body=net()()), tried), PASS),
]  # fmt: skip
