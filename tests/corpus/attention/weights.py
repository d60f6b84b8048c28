"""Softmaxes over the queries, and sums over other axes than the softmax's that are meant."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS, WARN
from ..causes import TURNED
from ..nets import adam, built
from .builders import row

WIDTH, KINDS, LENGTH, HEADS = 32, 20, 12, 4


class Block(nn.Module):
    """Attention by ``mix(block, queries, keys, values)`` beside a residual."""

    def __init__(self, mix):
        super().__init__()
        self.norm, self.parts = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3 * WIDTH)
        self.out, self.mix = nn.Linear(WIDTH, WIDTH), mix
        self.groups, self.slots = nn.Linear(WIDTH, 8), nn.Parameter(torch.randn(4, WIDTH) / 6)

    def forward(self, x):
        return x + self.out(self.mix(self, *self.parts(self.norm(x)).chunk(3, -1)))


class Reader(nn.Module):
    """Finds, for each word, the one at the place that the word tells."""

    def __init__(self, mix):
        super().__init__()
        self.words = nn.Embedding(KINDS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) / 10)
        self.blocks, self.head = nn.Sequential(Block(mix), Block(mix)), nn.Linear(WIDTH, KINDS)

    def forward(self, x):
        return self.head(self.blocks(self.words(x) + self.places)).transpose(1, 2)


def told():
    x = torch.randint(0, KINDS, (16, LENGTH))
    return x, x.gather(1, x % LENGTH)


def scores(q, k):
    return q @ k.mT / q.shape[-1] ** 0.5


def plain(along, causal=False):
    def mix(m, q, k, v):
        found = scores(q, k)
        if causal:
            later = torch.ones(LENGTH, LENGTH, dtype=torch.bool).triu(1)
            found = found.masked_fill(later, -1e9)
        return functional.dropout(found.softmax(along), 0.1, m.training) @ v

    return mix


def by_head(along, shared=False):
    def mix(m, *parts):
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in parts)
        share = torch.einsum("bhid,bhjd->bhij", q, k).softmax(along)
        if shared:
            share = share / share.sum(-1, keepdim=True)
        return torch.einsum("bhij,bhjd->bhid", share, v).transpose(1, 2).flatten(2)

    return mix


def columns(is_turned, along=-1):
    """Values with their channels before their places, as those of images."""

    def mix(m, q, k, v):
        share = torch.bmm(q, k.transpose(1, 2)).softmax(along)
        return torch.bmm(v.transpose(1, 2), share.transpose(1, 2) if is_turned else share).mT

    return mix


def offset(m, q, k, v):
    """Point clouds: a softmax along one axis, sums divided out along the other."""
    share = scores(q, k).softmax(-1)
    return torch.bmm(v.mT, share / (1e-9 + share.sum(1, keepdim=True))).mT


def slotted(m, q, k, v):
    """Slots that compete for places, and places that read the slots."""
    share = scores(m.slots, k).softmax(1)
    slots = share / share.sum(-1, keepdim=True) @ v
    return scores(q, slots).softmax(-1) @ slots


def clustered(m, q, k, v):
    """Every place is shared out among clusters, which sum over all places."""
    return q + (m.groups(k).softmax(-1).mT @ v).mean(1, keepdim=True)


def dispatched(m, q, k, v):
    """A soft mixture: slots are means over places, places are means over slots."""
    found = scores(k, m.slots)
    return found.softmax(2) @ (found.softmax(1).mT @ v)


def linear(m, q, k, v):
    return q.softmax(-1) @ (k.softmax(1).mT @ v)


def across(m, q, k, v):
    """Attention of channels to channels."""
    q, k = functional.normalize(q, dim=1), functional.normalize(k, dim=1)
    return ((q.mT @ k).softmax(-1) @ v.mT).mT


def additive(along):
    """Scores that are sums, as those of graphs."""

    def mix(m, q, k, v):
        found = q.mean(-1, keepdim=True) + k.mean(-1)[:, None]
        return functional.leaky_relu(found).softmax(along) @ v

    return mix


def mutual(m, q, k, v):
    found = scores(q, k)
    return (found.softmax(1) * found.softmax(2)) @ v


def reader(title, verdict, mix, cause=()):
    return row(title, built(lambda: Reader(mix), None, told, optimizer=adam(1e-3)), verdict, cause)


CASES = [
    reader("softmax over the queries", WARN, plain(1), TURNED),
    reader("softmax over the keys", PASS, plain(-1)),
    reader("masked softmax over the queries", WARN, plain(1, causal=True), TURNED),
    reader("masked softmax over the keys", PASS, plain(-1, causal=True)),
    reader("heads with a softmax over the queries", WARN, by_head(-2), TURNED),
    reader("heads with a softmax over the keys", PASS, by_head(-1)),
    reader("weights over the queries, divided by their sum", PASS, by_head(-2, shared=True)),
    reader("weights on the right, not transposed", WARN, columns(False), TURNED),
    reader("weights on the right, transposed", PASS, columns(True)),
    reader("weights on the right of a softmax over its rows", PASS, columns(False, 1)),
    reader("offset attention", PASS, offset),
    reader("slot attention", PASS, slotted),
    reader("clusters of places", PASS, clustered),
    reader("soft mixture", PASS, dispatched),
    reader("softmax of features and places", PASS, linear),
    reader("attention of channels", PASS, across),
    reader("additive scores over the queries", WARN, additive(1), TURNED),
    reader("additive scores over the keys", PASS, additive(-1)),
    reader("softmaxes both ways", PASS, mutual),
]
