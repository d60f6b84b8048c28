"""Samples that reach each other, models that see the future, inputs that nothing reads.

A leak trains as well as its twin on its own batch: the losses after 300 steps tell nothing. Each
is labelled by a change of one sample, or of the last token, and a look at what else changes.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, MILD, PASS, WARN
from ..causes import CROSSED, FUTURE, LEAK, SQUASHED, UNREAD
from ..nets import Through, adam, mlp, sequences, text
from ..unusual.builders import Model
from ..unusual.layers import Graph
from .builders import given, groups, net, row, speaker, tokenwise

FAST = adam(3e-3)


def attending(*, batch_first):
    """Attention over (batch, time, features)."""

    def run(m, x):
        return m.head((x + m.mix(x, x, x, need_weights=False)[0]).mean(1))

    return lambda: Model(run, mix=nn.MultiheadAttention(20, 4, batch_first=batch_first),
                         head=nn.Linear(20, 3))  # fmt: skip


def recurrent(turn=None, *, first=True, last=(slice(None), -1)):
    """A recurrent body, and a head on its last state."""

    def run(m, x):
        return m.head(m.body(turn(x) if turn else x)[0][last])

    return lambda: Model(run, body=nn.GRU(20, 32, batch_first=first), head=nn.Linear(32, 3))


def time_first():
    x, y = sequences()
    return x.transpose(0, 1).contiguous(), y


def films(turn):
    """A network on frames, and the mean of its codes over the frames of a film."""
    return lambda: Model(lambda m, x: m.head(turn(m.body(x.flatten(0, 1))).mean(1)),
                         body=mlp(nn.ReLU, 20, 32, 32), head=nn.Linear(32, 3))  # fmt: skip


def hidden(function):
    """A function of all samples between two layers."""
    return lambda: nn.Sequential(nn.Linear(20, 64), Through(function), nn.ReLU(),
                                 nn.Linear(64, 10))  # fmt: skip


def pooling(dim):
    """Attention weights over the instances of a bag, or over the bags."""

    def run(m, x):
        return m.head((m.score(torch.tanh(m.body(x))).softmax(dim) * m.body(x)).sum(1))

    return lambda: Model(run, body=nn.Linear(20, 32), score=nn.Linear(32, 1),
                         head=nn.Linear(32, 3))  # fmt: skip


def rowwise():
    """A convolution along the batch, which stands where the length should."""
    return Model(lambda m, x: m.head(m.body(x.T[None])[0].T.relu()), head=nn.Linear(32, 10),
                 body=nn.Conv1d(20, 32, 3, padding=1))  # fmt: skip


def normed():
    return nn.Sequential(nn.Linear(20, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10))


def shots(m, support, kinds, query):
    """Distances to the means of the supports of each kind."""
    codes = m.body(support)
    share = functional.one_hot(kinds).float()
    means = (share / share.sum(0)).T @ codes
    return -torch.cdist(m.body(query), means).square()


def episode():
    x, y = groups(5, 50)
    return (x[:25], y[:25], x[25:]), y[25:]


def deviation(m, x):
    """The batch's deviation as a feature, as discriminators of pictures have it."""
    h = m.body(x)
    return m.head(torch.cat([h, h.std(0).mean().expand(len(h), 1)], 1))


def packed(m, x, lengths):
    """Sequences of their own lengths, packed."""
    part = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    return m.head(m.body(part)[1][0])


def ragged():
    x, y = sequences()
    return (x, torch.randint(4, 13, (16,))), y


def balanced(m, b):
    """Experts by the best score, and a loss that compares their load over the batch."""
    p = m.router(b[0]).softmax(1)
    out = torch.stack([one(b[0]) for one in m.experts], 1)
    load = functional.one_hot(p.argmax(1), 4).float().mean(0)
    logits = (p[..., None] * out).sum(1)
    return functional.cross_entropy(logits, b[1]) + 0.01 * 4 * (load * p.mean(0)).sum()


def experts():
    return Model(None, router=nn.Linear(20, 4), experts=nn.ModuleList(net()() for _ in range(4)))


class Writer(nn.Module):
    """A decoder of one block whose ``mask`` says which places (i, j) may not be read."""

    def __init__(self, mask):
        super().__init__()
        self.embedding, self.place = (
            nn.Embedding(50, 32),
            nn.Parameter(torch.randn(12, 32) / 10),
        )
        self.norm, self.head = nn.LayerNorm(32), nn.Linear(32, 50)
        self.mix, self.mask = nn.MultiheadAttention(32, 4, batch_first=True), mask

    def forward(self, ids):
        h = self.embedding(ids) + self.place
        n, everything = self.norm(h), torch.ones(12, 12, dtype=torch.bool)
        mask = self.mask(everything) if self.mask else None
        return self.head(h + self.mix(n, n, n, attn_mask=mask, need_weights=False)[0])


def waves(pad, norm=nn.Identity):
    """Two convolutions over time after ``pad`` (left, right) of their input."""

    def run(m, ids):
        h = m.embedding(ids).transpose(1, 2)
        for part in m.layers:
            h = m.norm(torch.relu(part(functional.pad(h, pad))))
        return m.head(h.transpose(1, 2))

    return lambda: Model(run, embedding=nn.Embedding(50, 32), head=nn.Linear(32, 50),
                         layers=nn.ModuleList(nn.Conv1d(32, 32, 3) for _ in range(2)),
                         norm=norm())  # fmt: skip


def context(mean):
    """Each token beside a mean of tokens."""
    return lambda: Model(lambda m, ids: m.head(torch.relu(m.body(torch.cat(
        [h := m.embedding(ids), mean(h)], -1)))), embedding=nn.Embedding(50, 32),
        body=nn.Linear(64, 64), head=nn.Linear(64, 50))  # fmt: skip


def running(h):
    return h.cumsum(1) / torch.arange(1, 13)[:, None]


def both_ways():
    return Model(lambda m, ids: m.head(m.body(m.embedding(ids))[0]), head=nn.Linear(64, 50),
                 body=nn.GRU(32, 32, batch_first=True, bidirectional=True),
                 embedding=nn.Embedding(50, 32))  # fmt: skip


def spoken(make, verdict, name, causes=()):
    return row(name, given(make, lambda: text(50), tokenwise, optimizer=FAST, causal=True), verdict,
               causes)  # fmt: skip


def pair(run, **more):
    return lambda: Model(run, a=nn.Linear(20, 32), b=nn.Linear(20, 32), head=nn.Linear(32, 10),
                         **more)  # fmt: skip


def two():
    x, y = groups()
    return (x, torch.randn_like(x)), y


def timed():
    x, y = groups()
    return {"x": x, "t": torch.rand(128), "labels": y}


def noised(m, b):
    """A step of a denoiser that may read the time."""
    noise, t = torch.randn_like(b["x"]), b["t"][:, None]
    return functional.mse_loss(m((1 - t) * b["x"] + t * noise, t), noise)


def padded():
    x, y = sequences()
    return (x, torch.arange(12) < torch.randint(4, 13, (16, 1))), y


def over_time(keep):
    return lambda: Model(lambda m, x, mask: m.head(keep(torch.relu(m.body(x)), mask)),
                         body=nn.Linear(20, 32), head=nn.Linear(32, 3))  # fmt: skip


def kept_mean(h, mask):
    return (h * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


def film(m, x, z):
    """A condition whose scale and shift start at zero."""
    scale, shift = m.b(z).chunk(2, 1)
    return m.head(torch.relu(m.a(x)) * (1 + scale) + shift)


def filmed():
    model = pair(film)()
    model.b = nn.Linear(20, 64)
    nn.init.zeros_(model.b.weight)
    nn.init.zeros_(model.b.bias)
    return model


def weighted(m, b):
    """Weights of samples, which only the loss reads."""
    loss = functional.cross_entropy(m(b["x"]), b["labels"], reduction="none")
    return (loss * b["t"]).mean()


def unweighted(m, b):
    return functional.cross_entropy(m(b["x"]), b["labels"])


CASES = [
    row("attention across the batch", given(attending(batch_first=False), sequences), BAD, LEAK),
    row("attention across the time", given(attending(batch_first=True), sequences), PASS),
    row("recurrence across the batch", given(recurrent(first=False), sequences, optimizer=FAST),
        BAD, LEAK),
    row("recurrence across the time", given(recurrent(), sequences, optimizer=FAST), PASS),
    row("recurrence on time-first data", given(recurrent(first=False, last=-1), time_first,
        optimizer=FAST), PASS),
    row("view where a transposition is meant", given(recurrent(lambda x: x.view(12, 16, 20),
        first=False, last=-1), sequences, optimizer=FAST), BAD, CROSSED),
    row("transposition before a recurrence", given(recurrent(lambda x: x.transpose(0, 1),
        first=False, last=-1), sequences, optimizer=FAST), PASS),
    row("frames viewed with the film last", given(films(lambda h: h.view(12, 16, 32).transpose(
        0, 1)), sequences), BAD, CROSSED),
    row("frames viewed with the film first", given(films(lambda h: h.view(16, 12, 32)), sequences),
        PASS),
    row("normalisation along the batch", given(hidden(lambda h: 8 * functional.normalize(h,
        dim=0)), groups), BAD, LEAK),
    row("normalisation along the features", given(hidden(lambda h: 8 * functional.normalize(h)),
        groups), PASS),
    row("attention weights over bags", given(pooling(0), sequences), BAD, (LEAK, SQUASHED)),
    row("attention weights over instances", given(pooling(1), sequences), PASS),
    row("convolution along the batch", given(rowwise, groups), BAD, LEAK),
    row("batch norm", given(normed, groups), PASS),
    row("graph of samples", given(Graph, lambda: groups(3, 64)), PASS),
    row("prototypes of an episode", given(lambda: Model(shots, body=mlp(nn.ReLU, 20, 64, 16)),
        episode), PASS),
    row("deviation of the batch as a feature", given(lambda: Model(deviation, body=mlp(nn.ReLU, 20,
        64, 32), head=nn.Linear(33, 10)), groups), MILD),
    row("packed sequences", given(lambda: Model(packed, body=nn.GRU(20, 32, batch_first=True),
        head=nn.Linear(32, 3)), ragged, optimizer=FAST), PASS),
    row("load of experts", given(experts, groups, forward=balanced), PASS),
    spoken(lambda: Writer(None), BAD, "decoder without a mask", FUTURE),
    spoken(lambda: Writer(torch.tril), BAD, "decoder whose mask hides the past", FUTURE),
    spoken(lambda: Writer(lambda ones: ones.triu(2)), BAD, "decoder whose mask is one late",
           FUTURE),
    spoken(lambda: Writer(lambda ones: ones.triu(1)), PASS, "decoder"),
    spoken(waves((1, 1)), BAD, "centred convolutions", FUTURE),
    spoken(waves((2, 0)), PASS, "convolutions of the past"),
    spoken(waves((2, 0), lambda: nn.GroupNorm(4, 32)), BAD, "norm over all times", FUTURE),
    spoken(both_ways, BAD, "recurrence both ways", FUTURE),
    spoken(speaker(), PASS, "recurrence of the past"),
    spoken(context(lambda h: h.mean(1, keepdim=True).expand_as(h)), BAD, "mean of all tokens",
           FUTURE),
    spoken(context(running), PASS, "mean of the tokens so far"),
    row("both layers read the first input", given(pair(lambda m, x, z: m.head(torch.relu(
        m.a(x) + m.b(x)))), two), WARN, UNREAD),
    row("each layer reads its input", given(pair(lambda m, x, z: m.head(torch.relu(m.a(x) + m.b(
        z)))), two), PASS),
    row("time that a denoiser does not read", given(lambda: Model(lambda m, x, t: m.body(x),
        body=net(outputs=20)()), timed, forward=noised), WARN, UNREAD),
    row("time that a denoiser reads", given(lambda: Model(lambda m, x, t: m.body(torch.cat([x, t],
        1)), body=net(outputs=20, features=21)()), timed, forward=noised), PASS),
    row("mask that is not read", given(over_time(lambda h, mask: h.mean(1)), padded), WARN, UNREAD),
    row("mask that is read", given(over_time(kept_mean), padded), PASS),
    row("condition that starts at zero", given(filmed, two), PASS),
    row("weights that the loss reads", given(net(), timed, forward=weighted), PASS),
    row("key that the step does not read", given(net(), timed, forward=unweighted), MILD, UNREAD),
]  # fmt: skip
