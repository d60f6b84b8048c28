"""Steps that the caller wrote, whose graph leads back to a part of what the optimiser holds.

Labelled by 300 steps: behind the cut no weight moves. A head alone on features that were drawn
learns these groups, too, so that no_grad counts as doubtful, as a backbone that is kept would.
Of tags whose order is mixed up the loss on fresh data stays at chance.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, PASS, WARN
from ..causes import MISPAIRED, SILENT
from ..nets import mlp
from ..unusual.builders import Model
from .builders import given, groups, row
from .holders import holding


def parts():
    """A body and a head that the step calls itself."""
    return Model(lambda m, x: m.head(m.body(x)), body=mlp(nn.ReLU, 20, 64, 64),
                 head=nn.Linear(64, 10))  # fmt: skip


def through(body):
    """The loss of a head on what ``body(model, inputs)`` makes."""

    def step(m, batch):
        x, y = batch
        return functional.cross_entropy(m.head(body(m, x)), y)

    return step


def shut_off(m, x):
    with torch.no_grad():
        return m.body(x)


def rebuilt(m, x):
    return torch.tensor(m.body(x).tolist())


def residual():
    """A stream that several blocks add to, and a head."""

    def run(m, x):
        for block in m.blocks:
            x = x + block(x)
        return x

    blocks = nn.ModuleList(mlp(nn.ReLU, 20, 40, 20) for _ in range(3))
    return Model(lambda m, x: m.head(m.run(m, x)), run=run, blocks=blocks, head=nn.Linear(20, 10))


def judges():
    """A maker and a judge of what it makes."""
    return Model(lambda m, x: m.judge(m.maker(x)), maker=mlp(nn.ReLU, 20, 64, 20),
                 judge=mlp(nn.ReLU, 20, 64, 1))  # fmt: skip


def judging(m, batch):
    x, _ = batch
    scores = torch.cat([m.judge(x), m.judge(m.maker(torch.randn_like(x)).detach())])
    real = (torch.arange(len(scores)) < len(x)).float()[:, None]
    return functional.binary_cross_entropy_with_logits(scores, real)


def pairs():
    """A network and a slower copy that makes its targets."""
    body, slow = mlp(nn.ReLU, 20, 64, 4), mlp(nn.ReLU, 20, 64, 4)
    slow.load_state_dict(body.state_dict())
    return Model(lambda m, x: m.body(x), body=body, slow=slow)


def bootstrapped(m, batch):
    x, y = batch
    with torch.no_grad():
        best = m.slow(x.flip(1)).amax(1)
    return functional.mse_loss(m.body(x).gather(1, y[:, None] % 4)[:, 0], best + y.float() / 10)


def tagger():
    """A class for every step of a sequence."""

    def run(m, x):
        return m.head(m.body(x)[0])

    return Model(run, body=nn.GRU(12, 24, batch_first=True), head=nn.Linear(24, 5))


def tagged():
    """The class of each step is told by its own features."""
    x = torch.randn(16, 9, 12)
    return x, x[..., :5].argmax(-1)


def flattened(order):
    """Outputs of every step in an order of axes, with the targets as they come."""

    def step(m, batch):
        x, y = batch
        return functional.cross_entropy(order(m(x)).reshape(-1, 5), y.reshape(-1))

    return step


def rewarded(m, batch):
    """Each step is paid by what comes behind it: returns of the later rewards alone."""
    x, y = batch
    pay = y.float().T
    later = pay.flip(0).cumsum(0).flip(0)[1:]
    values = m(x)[..., 0].T[:-1]
    return functional.mse_loss(values, later / 10)


CASES = [
    row("step on detached features",
        given(parts, groups, forward=through(lambda m, x: m.body(x).detach())), FAIL, SILENT,
        "body.0"),
    row("step on a detached stream", given(residual, groups,
        forward=through(lambda m, x: m.run(m, x).detach())), FAIL, SILENT),
    row("step on a stream", given(residual, groups, forward=through(lambda m, x: m.run(m, x))),
        PASS),
    row("step on features made of numbers", given(parts, groups, forward=through(rebuilt)), FAIL,
        SILENT),
    row("step on features without gradients", given(parts, groups, forward=through(shut_off)),
        WARN, SILENT, "body.0"),
    row("step on features", given(parts, groups, forward=through(lambda m, x: m.body(x))), PASS),
    row("step of a head on detached features", holding(lambda m: m.head.parameters(), parts,
        forward=through(lambda m, x: m.body(x).detach())), PASS),
    row("step of a judge alone", holding(lambda m: m.judge.parameters(), judges, forward=judging),
        PASS),
    row("step on outputs flattened along the steps", given(tagger, tagged,
        forward=flattened(lambda out: out.transpose(0, 1))), FAIL, MISPAIRED),
    row("step on outputs flattened along the samples", given(tagger, tagged,
        forward=flattened(lambda out: out)), PASS),
    row("step on the returns of later rewards", given(tagger, tagged, forward=rewarded), PASS),
    row("targets of a slower copy", given(pairs, groups, forward=bootstrapped), PASS),
]  # fmt: skip
