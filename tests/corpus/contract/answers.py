"""Starts that hold the answer already, and outputs that are the same for every sample."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, MILD, PASS, WARN
from ..causes import ALIKE, ANSWERED, LEAK, ONE_SOFTMAX, SIGNAL, SILENT, UNREAD
from ..nets import Through, mlp, sequences, text
from ..unusual.builders import Model
from .builders import given, groups, halves, net, row, sketches, tokenwise
from .holders import zero_head


def tied(m, ids):
    """Scores by the embedding itself, of its row and a little more."""
    h = m.embedding(ids)
    h = m.norm(h + m.body(h)) if m.norm else 8 * h + m.body(h)
    return h @ m.embedding.weight.T


def language(*, norm, sigma):
    def make():
        model = Model(tied, embedding=nn.Embedding(50, 64), body=nn.Linear(64, 64),
                      norm=nn.LayerNorm(64) if norm else None)  # fmt: skip
        nn.init.normal_(model.embedding.weight, 0, sigma)
        return model

    return make


def unshifted():
    ids, _ = text(50)
    return ids, ids


def onward(m, x):
    """The last value of a series and a change."""
    return x[:, -1:] + m.body(x)


def series(step):
    """Windows of twenty values, and the value ``step`` after the last."""

    def data():
        t = torch.rand(128, 1) * 50 + torch.arange(26) * 0.1
        values = t.sin() + (1.7 * t).cos()
        return values[:, :20], values[:, 19 + step : 20 + step]

    return data


def forecaster():
    return Model(onward, body=mlp(nn.Tanh, 20, 32, 1))


def cleaner():
    return Model(lambda m, x: x + m.body(x), body=mlp(nn.ReLU, 36, 64, 36))


def stained(sigma):
    """Smooth rows with noise, and the rows."""

    def data():
        rows = sketches(-2.0, 2.0)()[0]
        return rows + sigma * torch.randn_like(rows), rows

    return data


def prior():
    """A head whose bias holds the logarithm of the classes' shares."""
    model = net()()
    shares = torch.tensor([0.91] + [0.01] * 9)
    nn.init.constant_(model[2].weight, 0.0)
    model[2].bias.data.copy_(shares.log())
    return model


def mostly():
    x, y = groups()
    return x, torch.where(torch.arange(128) < 116, 0, y)


def body(run, inner=20, **more):
    return lambda: Model(run, body=mlp(nn.ReLU, inner, 64, 10), **more)


def counted(m, x):
    """A table of counts that is asked with shares."""
    return m.body(m.table(x.long()).mean(1))


def shares():
    x, y = groups()
    return x.sigmoid(), y


def early(m, x):
    """The class token of layers that mix nothing."""
    h = torch.cat([m.token.expand(len(x), 1, 20), x], 1)
    return m.head(torch.relu(m.body(h))[:, 0])


def token():
    return Model(early, token=nn.Parameter(torch.randn(1, 1, 20)), body=nn.Linear(20, 32),
                 head=nn.Linear(32, 3))  # fmt: skip


mse = functional.mse_loss
FIXED = ALIKE, SILENT, SIGNAL

CASES = [
    # First losses of .07, 2e-6, .015 and .066, where chance is 3.9, 3.9, 1 and 1.3. Whatever gives
    # the same output for all ends at the 2.302 of chance.
    row("labels not shifted under a tied embedding", given(language(norm=False, sigma=0.125),
        unshifted, tokenwise), WARN, ANSWERED),
    row("nothing masked under a tied embedding and norm", given(language(norm=True, sigma=0.5),
        unshifted, tokenwise), WARN, ANSWERED),
    row("labels shifted under a tied embedding", given(language(norm=True, sigma=0.02),
        lambda: text(50), tokenwise), PASS),
    row("target in the window", given(forecaster, series(0), mse), WARN, ANSWERED),
    row("target after the window", given(forecaster, series(5), mse), PASS),
    row("next value of a smooth series", given(forecaster, series(1), mse), MILD),
    row("denoiser without noise", given(cleaner, stained(0.0), mse), WARN, ANSWERED),
    row("denoiser with noise", given(cleaner, stained(0.5), mse), PASS),
    row("bias of the classes' shares", given(prior, mostly), PASS),
    row("shares as indices of a table", given(body(counted, 16, table=nn.Embedding(10, 16)),
        shares), FAIL, FIXED),
    row("zeros in place of the input", given(body(lambda m, x: m.body(torch.zeros_like(x))),
        groups), FAIL, (*FIXED, UNREAD)),
    row("class token that nothing reaches", given(token, sequences), FAIL, (*FIXED, UNREAD)),
    row("sum of a softmax as a feature", given(body(lambda m, x: m.body(m.a(x).softmax(1).sum(1,
        keepdim=True)), 1, a=nn.Linear(20, 8)), groups), FAIL, FIXED),
    row("mean over the batch", given(body(lambda m, x: m.body(x.mean(0, keepdim=True).expand_as(
        x))), groups), FAIL, (*FIXED, LEAK)),
    row("softmax of one score", given(net(lambda s: s.softmax(1), 1), halves, mse), FAIL,
        (*FIXED, ONE_SOFTMAX)),
    row("every feature filtered", given(body(lambda m, x: m.body(torch.where(x.abs() > 100, x,
        0.0))), groups), FAIL, FIXED),
    row("code rounded to zero", given(lambda: nn.Sequential(nn.Linear(20, 8), nn.Tanh(), Through(
        lambda h: h + ((h / 8).round() * 8 - h).detach()), nn.Linear(8, 10)), groups), FAIL, FIXED),
    row("zero head", given(zero_head, groups), PASS),
    row("one sample", given(net(), lambda: groups(10, 1)), PASS),
]  # fmt: skip
