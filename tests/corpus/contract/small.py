"""Small programs that once came out wrong (section 7 of cases.md)."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, PASS, Start
from ..causes import (
    BLOWN,
    INPUTS,
    LEFT,
    NONFINITE,
    OVERFLOW,
    REACH,
    TARGETS,
    UNHELD,
    ZERO,
)
from ..nets import adam, mlp, pictures, sequences, sgd
from ..unusual.builders import Model
from .acting import actor_critic, played
from .builders import cosine, given, groups, net, numbers, row, squared, with_zeros


def with_penalty(m, x):
    """Scores, and a penalty of the weights as a number beside them."""
    return m.body(x), 0.1 * sum(p.square().sum() for p in m.parameters())


def penalised(output, y):
    return functional.cross_entropy(output[0], y) + output[1]


class Shift(nn.Module):
    """A shift, and on request a scale, that the first batch sets."""

    def __init__(self, width, *, scaled):
        super().__init__()
        self.shift, self.log = (
            nn.Parameter(torch.zeros(width)),
            nn.Parameter(torch.zeros(width)),
        )
        self.register_buffer("ready", torch.tensor(False))
        self.scaled = scaled

    def forward(self, x):
        if not self.ready:
            with torch.no_grad():
                self.shift.copy_(-x.mean(0))
                if self.scaled:
                    self.log.copy_(-(x.std(0) + 1e-6).log())
                self.ready.fill_(True)
        return (x + self.shift) * self.log.exp()


def flow(*, scaled, kept=4, width=8):
    """Data-dependent shifts around a coupling that hands ``kept`` channels on."""

    def run(m, x):
        x = m.first(x)
        a, b = x[:, :kept], x[:, kept:]
        s, t = m.net(a).chunk(2, 1)
        x = m.second(torch.cat([a, b * torch.tanh(s).exp() + t], 1))
        logs = m.first.log.sum() + m.second.log.sum()
        return x, torch.tanh(s).sum(1) + logs

    def make():
        net = mlp(nn.ReLU, kept, 32, 2 * (width - kept))
        return Model(run, first=Shift(width, scaled=scaled), second=Shift(width, scaled=scaled),
                     net=net)  # fmt: skip

    return make


def likelihood(output):
    return (output[0].square().sum(1) / 2 - output[1]).mean()


def skewed():
    x = torch.randn(128, 8) @ torch.randn(8, 8) / 3 + torch.randn(8)
    return x + 0.3 * x.square()


def line():
    x = torch.linspace(0, 1, 64)[:, None]
    return x, 300 + 700 * x


def curve():
    return mlp(nn.Tanh, 1, 32, 1)


def error(m, b):
    return functional.mse_loss(m(b[0]), b[1])


def listed():
    """Hidden layers in a plain list."""
    hidden = [nn.Linear(20, 64), nn.Linear(64, 64)]

    def run(m, x):
        for layer in hidden:
            x = torch.relu(layer(x))
        return m.head(x)

    return Model(run, head=nn.Linear(64, 10))


def directed(safety):
    """A vector divided by its norm, and the side of a second one that it is on."""

    def run(m, x):
        p = m.map(x)
        p = p / (p.norm(dim=1, keepdim=True) + safety)
        side = (p * m.dir(x)).sum(1, keepdim=True) >= 0
        return m.head(torch.where(side, p, 0.2 * p))

    return lambda: Model(run, map=nn.Linear(20, 32, bias=False), dir=nn.Linear(20, 32),
                         head=nn.Linear(32, 10))  # fmt: skip


def masked(m, x, mask):
    """Attention whose masked keys score −inf."""
    scores = m.query(x) @ m.key(x).transpose(1, 2) / 20**0.5
    scores = scores.masked_fill(mask[:, None], -math.inf)
    return m.head((scores.softmax(-1) @ m.value(x)).mean(1))


def attention():
    return Model(masked, query=nn.Linear(20, 20), key=nn.Linear(20, 20), value=nn.Linear(20, 20),
                 head=nn.Linear(20, 3))  # fmt: skip


def padded(shortest):
    """Sequences whose padding is told by a mask; the first has ``shortest`` items."""

    def data():
        x, y = sequences()
        lengths = torch.randint(4, 13, (16, 1))
        lengths[0] = shortest
        return (x, torch.arange(12) >= lengths), y

    return data


def rectified():
    """An actor and a critic on a body of ReLU."""
    return Model(lambda m, x: (m.policy(h := m.body(x)), m.value(h)[:, 0]),
                 body=mlp(nn.ReLU, 20, 64, 64, last=nn.ReLU()), policy=nn.Linear(64, 10),
                 value=nn.Linear(64, 1))  # fmt: skip


def quantised(step):
    """Two layers whose weights are rounded to multiples of ``step``, straight through."""

    def steps(w):
        return w + ((w / step).round() * step - w).detach()

    def run(m, x):
        h = torch.relu(functional.linear(x, steps(m.a.weight)))
        return functional.linear(h, steps(m.b.weight), m.b.bias)

    return lambda: Model(run, a=nn.Linear(20, 64, bias=False), b=nn.Linear(64, 10))


def normed():
    """Batch norm behind convolutions with a bias."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(256, 10),
    )  # fmt: skip


def known(scale, **options):
    """Cosines of 32 prototypes in 32 dimensions."""
    return given(cosine(scale, kinds=32, width=32, **options), lambda: groups(32))


def eight():
    """A squashed output for targets of 8 ± 5."""
    return Start(mlp(nn.Tanh, 20, 64, 1, last=nn.Tanh()), numbers(5.0, 8.0)(),
                 {"optimizer": adam(1e-3)})  # fmt: skip


def bound(s):
    return torch.tanh(s).clamp(-0.999, 0.999)


def inside():
    x, y = numbers()()
    return x, torch.tanh(y)


CASES = [
    row("penalty beside the scores", given(lambda: Model(with_penalty, body=net()()), groups,
        penalised), PASS),
    row("clamp of a tanh", given(net(bound, 1), inside, squared), PASS),
    row("scale and shift by the first batch", given(flow(scaled=True), skewed, likelihood), PASS),
    row("shifts by the first batch", given(flow(scaled=False, kept=5), skewed, likelihood), PASS),
    row("targets of 300 to 1000", given(curve, line, functional.mse_loss), FAIL, TARGETS),
    row("targets of 300 to 1000 in a step", given(curve, line, forward=error), FAIL, TARGETS),
    row("hidden layers in a plain list", given(listed, groups), BAD, (LEFT, UNHELD)),
    row("batch norm behind a bias", given(normed, pictures), PASS),
    row("cosines times a learnt 30", known(30.0, learnt=True), PASS),
    row("cosines times 20", known(20.0), PASS),
    row("cosines times 64", known(64.0), PASS),
    row("zero rows divided by their norm", given(directed(0.0), with_zeros), FAIL, OVERFLOW, "map"),
    row("zero rows divided by their norm and more", given(directed(1e-3), with_zeros), PASS),
    row("every key masked", given(attention, padded(0)), FAIL, (OVERFLOW, *NONFINITE)),
    row("padding masked", given(attention, padded(5)), PASS),
    row("raw observations under ReLU", given(rectified, played(scale=3000.0),
        forward=actor_critic), FAIL, INPUTS),
    row("tanh for 8 ± 5", eight, BAD, (REACH, TARGETS)),
    row("weights that all round to zero", given(quantised(1.0), groups), FAIL,
        ZERO),
    row("weights of steps of a sixteenth", given(quantised(1 / 16), groups), PASS),
    row("cross-entropy at a rate of 300", given(net(), groups, optimizer=sgd(300.0)), FAIL, BLOWN),
]  # fmt: skip
