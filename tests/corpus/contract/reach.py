"""Targets outside the range of the output, and outputs whose range is meant."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, MILD, PASS
from ..causes import DEAD, REACH, RECTIFIED, TARGETS
from ..nets import mlp
from ..unusual.builders import Model
from ..unusual.generative import same
from ..unusual.wrappers import Answer
from .builders import coder, given, mapped, net, numbers, row, sketches, softmax, squared

RETURNS = numbers(100.0)
ACTIONS = mapped(numbers(), lambda y: 2 * torch.tanh(2 * y))
AGES = mapped(numbers(), lambda y: 20 + 60 * torch.sigmoid(2 * y))
COUNTS = mapped(numbers(outputs=5), lambda y: (y * 2).exp().clamp(max=12).round())
SHARES = mapped(numbers(outputs=5), lambda y: y.softmax(1))
LOW = numbers(1.0, -3.0)
LOG = mapped(numbers(), lambda y: y.exp())
RECTIFIER = REACH, RECTIFIED, DEAD


def scaled(low, high, squash=torch.sigmoid):
    """An output squashed into a range, from ``low`` to ``high``."""
    a, b = (0, 1) if squash is torch.sigmoid else (-1, 1)
    return lambda s: low + (high - low) * (squash(s) - a) / (b - a)


def angle(m, b):
    """A step on an output in a dict."""
    return functional.smooth_l1_loss(m(b[0])["angle"], b[1])


def compass(scale):
    return lambda: Model(lambda m, x: {"angle": scale * torch.tanh(m.body(x))},
                         body=mlp(nn.ReLU, 20, 64, 1))  # fmt: skip


def percent(top):
    """A share between 0 and ``top`` in a model with a loss of its own."""

    def run(m, x, y):
        share = top * torch.sigmoid(m.body(x))
        return Answer(loss=functional.l1_loss(share, y), share=share)

    return lambda: Model(run, body=mlp(nn.ReLU, 20, 64, 1))


def percents():
    x, y = numbers()()
    return {"x": x, "y": 100 * torch.sigmoid(y)}


def recommender(rate):
    """The likeness of two codes as a rating."""
    return lambda: Model(lambda m, a, b: rate(functional.cosine_similarity(m.a(a), m.b(b))),
                         a=mlp(nn.ReLU, 20, 32, 8), b=mlp(nn.ReLU, 20, 32, 8))  # fmt: skip


def ratings():
    a, b = torch.randn(128, 20), torch.randn(128, 20)
    return (a, b), 3 + 2 * torch.tanh((a[:, :4] * b[:, :4]).sum(1))


def columns(factor):
    """Four columns, of which the last counts in other units."""

    def data():
        x, y = numbers(outputs=4)()
        return x, torch.tanh(y) * torch.tensor([1.0, 1.0, 1.0, factor])

    return data


def residual(m, x):
    """The input, changed by at most one."""
    return x + torch.tanh(m.body(x))


def changes():
    x = torch.randn(64, 20) * 3
    return x, x + torch.tanh(x.roll(1, 1))


def dragged():
    """Targets that leave [−1, 1] by noise of .05."""
    x, y = numbers()()
    return x, torch.tanh(2 * y) + 0.05 * torch.randn_like(y)


mse = functional.mse_loss

CASES = [
    # 1e4 is the variance of the targets: 9,763 after 300 steps, .0007 for the standardised twin.
    row("tanh for returns of a hundred", given(net(nn.Tanh, 1), RETURNS, mse), FAIL,
        (REACH, TARGETS)),
    row("standardised returns", given(net(None, 1), numbers(), mse), PASS),
    row("tanh for actions of 2", given(net(nn.Tanh, 1), ACTIONS, mse), BAD, REACH),
    row("tanh times 2 for actions of 2", given(net(scaled(-2, 2, torch.tanh), 1), ACTIONS, mse),
        PASS),
    row("ReLU for both signs", given(net(nn.ReLU, 1), numbers(), mse), BAD, RECTIFIER),
    row("ReLU for both signs of eight", given(net(nn.ReLU, 8), numbers(outputs=8), squared), BAD,
        RECTIFIER),
    row("ReLU for negative targets", given(net(nn.ReLU, 1), LOW, mse), BAD, RECTIFIER),
    row("softplus for negative targets", given(net(nn.Softplus, 1), LOW, mse), BAD, REACH),
    row("negative softplus for negative targets", given(net(lambda s: -functional.softplus(s), 1),
        LOW, mse), PASS),
    row("sigmoid for -1 to 1", given(coder(torch.sigmoid), sketches(-1.0)), BAD, REACH),
    row("tanh for -1 to 1", given(coder(torch.tanh), sketches(-1.0)), PASS),
    row("sigmoid for 0 to 1", given(coder(torch.sigmoid), sketches()), PASS),
    row("sigmoid for standardised data", given(lambda: mlp(nn.ReLU, 20, 48, 8, 48, 20,
        last=nn.Sigmoid()), same()), BAD, REACH),
    row("linear for standardised data", given(lambda: mlp(nn.ReLU, 20, 48, 8, 48, 20), same()),
        PASS),
    row("softmax for counts", given(net(softmax, 5), COUNTS, mse), BAD, (REACH, TARGETS)),
    row("softmax for shares", given(net(softmax, 5), SHARES, mse), PASS),
    row("sigmoid for ages", given(net(nn.Sigmoid, 1), AGES, mse), FAIL, (REACH, TARGETS)),
    row("sigmoid from 20 to 80 for ages", given(net(scaled(20, 80), 1), AGES, mse), PASS),
    row("unit codes for codes of norm 8", given(net(functional.normalize, 16),
        numbers(2.0, outputs=16), mse), BAD, REACH),
    row("unit codes for unit codes", given(net(functional.normalize, 16), mapped(
        numbers(outputs=16), functional.normalize), mse), PASS),
    row("tanh for degrees", given(compass(1.0), mapped(ACTIONS, lambda y: 90 * y), forward=angle),
        FAIL, (REACH, TARGETS)),
    row("tanh times pi for radians", given(compass(3.15), mapped(ACTIONS, lambda y: 1.57 * y),
        forward=angle), PASS),
    row("sigmoid for percents in a model's own loss", given(percent(1.0), percents), FAIL,
        (REACH, TARGETS)),
    row("sigmoid times 100 for percents", given(percent(100.0), percents), PASS),
    row("cosine for ratings of 1 to 5", given(recommender(lambda c: c), ratings, mse), BAD,
        (REACH, TARGETS)),
    row("cosine from 1 to 5 for ratings", given(recommender(lambda c: 3 + 2 * c), ratings, mse),
        PASS),
    row("tanh for columns of which one is in tens", given(net(nn.Tanh, 4), columns(10.0), mse), BAD,
        (REACH, TARGETS)),
    row("tanh for columns", given(net(nn.Tanh, 4), columns(1.0), mse), PASS),
    row("ReLU for counts", given(net(nn.ReLU, 5), COUNTS, mse), MILD, RECTIFIER),
    row("softplus for counts", given(net(nn.Softplus, 5), COUNTS, mse), PASS),
    row("exponential for positive targets", given(net(torch.exp, 1), LOG, squared), PASS),
    row("tanh as a change of the input", given(lambda: Model(residual, body=mlp(nn.ReLU, 20, 64,
        20)), changes), PASS),
    row("tanh for targets with a little noise", given(net(nn.Tanh, 1), dragged, mse), MILD),
    row("sigmoid for smoothed labels", given(net(nn.Sigmoid, 5), mapped(numbers(outputs=5),
        lambda y: 0.05 + 0.9 * (y > 0)), mse), PASS),
]  # fmt: skip
