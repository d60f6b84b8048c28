"""Axes that a view took for others, and the same programs with the axes moved."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, PASS
from ..causes import CROSSED
from ..nets import adam, sequences
from ..unusual.builders import Model
from .builders import given, row

FAST = adam(3e-3)


def photos(channels_last=True, side=12):
    """Images in which the mean of a channel tells the class."""
    y = torch.arange(64) % 3
    x = torch.randn(64, side, side + 2, 3) + 2 * torch.eye(3)[y][:, None, None]
    return (x if channels_last else x.permute(0, 3, 1, 2).contiguous()), y


def first(x):
    return x.permute(0, 3, 1, 2)


def looked(turn):
    """A small convolutional network on what is made of its input."""
    return lambda: Model(lambda m, x: m.head(m.b(m.a(turn(x)).relu()).relu().mean((2, 3))),
                         a=nn.Conv2d(3, 16, 3, padding=1), b=nn.Conv2d(16, 16, 3, padding=1),
                         head=nn.Linear(16, 3))  # fmt: skip


def clouds():
    y = torch.arange(64) % 3
    return torch.randn(64, 50, 3) * (1 + torch.eye(3)[y][:, None]), y


def pointed(turn):
    return lambda: Model(lambda m, x: m.head(m.b(m.a(turn(x)).relu()).amax(2)),
                         a=nn.Conv1d(3, 32, 1), b=nn.Conv1d(32, 32, 1),
                         head=nn.Linear(32, 3))  # fmt: skip


def tags():
    x = torch.randn(16, 12, 20)
    return x, (x @ torch.randn(20, 5)).argmax(-1)


def tagger(turn=None):
    return lambda: Model(lambda m, x: turn(m.head(m.body(x).relu())) if turn else m.head(
        m.body(x).relu()), body=nn.Linear(20, 32), head=nn.Linear(32, 5))  # fmt: skip


def by_place(turn):
    return lambda h, y: functional.cross_entropy(turn(h), y)


def heads(cut, join):
    """Attention by hand over sequences."""

    def run(m, x):
        q, k, v = (cut(part(x)) for part in (m.q, m.k, m.v))
        mixed = (q @ k.mT / 8**0.5).softmax(-1) @ v
        return m.head((x + m.out(join(mixed))).mean(1))

    return lambda: Model(run, **{name: nn.Linear(20, 32) for name in "qkv"},
                         out=nn.Linear(32, 20), head=nn.Linear(20, 3))  # fmt: skip


def cut(h):
    return h.view(16, 12, 4, 8).transpose(1, 2)


def joined(h):
    return h.transpose(1, 2).reshape(16, 12, 32)


def mapped(turn):
    """Tokens of patches, normalised, and laid out as a map."""
    return lambda: Model(lambda m, x: m.head(m.conv(turn(m.norm(m.patch(x).flatten(2).mT))).relu()
                         .mean((2, 3))), patch=nn.Conv2d(3, 32, 2, 2), norm=nn.LayerNorm(32),
                         conv=nn.Conv2d(32, 16, 3, padding=1), head=nn.Linear(16, 3))  # fmt: skip


def pairs():
    """Smooth images, and the same at half the size."""
    fine = functional.interpolate(torch.randn(32, 1, 4, 4), 16, mode="bilinear")
    return functional.avg_pool2d(fine, 2), fine


def enlarged(turn):
    return lambda: Model(lambda m, x: turn(m.b(m.a(x).relu())), a=nn.Conv2d(1, 32, 3, padding=1),
                         b=nn.Conv2d(32, 4, 3, padding=1))  # fmt: skip


def over_time(turn):
    return lambda: Model(lambda m, x: m.head(m.conv(turn(m.body(x).relu())).relu().mean(2)),
                         body=nn.Linear(20, 32), conv=nn.Conv1d(32, 32, 3, padding=1),
                         head=nn.Linear(32, 3))  # fmt: skip


def skewed(m, x):
    """Scores of relative places, which a view between a pad and a slice puts into place."""
    wide = functional.pad(m.q(x) @ m.place.mT, (1, 0)).view(16, 13, 12)
    scores = m.q(x) @ m.k(x).mT + wide[:, 1:].reshape(16, 12, 12)
    return m.head((x + (scores / 20**0.5).softmax(-1) @ m.v(x)).mean(1))


def relative():
    return Model(skewed, q=nn.Linear(20, 20), k=nn.Linear(20, 20), v=nn.Linear(20, 20),
                 place=nn.Parameter(torch.randn(12, 20)), head=nn.Linear(20, 3))  # fmt: skip


def stacked():
    """Three frames as one."""
    return Model(lambda m, x: m.head(m.body(x.view(16, 4, 60)).relu().mean(1)),
                 body=nn.Linear(60, 32), head=nn.Linear(32, 3))  # fmt: skip


CASES = [
    row("view of images with their channels last", given(looked(lambda x: x.reshape(64, 3, 12,
        14)), photos, optimizer=FAST), FAIL, CROSSED),
    row("images whose channels are moved first", given(looked(first), photos, optimizer=FAST),
        PASS),
    row("view of a cloud of points", given(pointed(lambda x: x.view(64, 3, 50)), clouds,
        optimizer=FAST), FAIL, CROSSED),
    row("cloud of points, transposed", given(pointed(lambda x: x.transpose(1, 2)), clouds,
        optimizer=FAST), PASS),
    row("view of scores in the loss", given(tagger(), tags, by_place(lambda h: h.view(16, 5, 12)),
        optimizer=FAST), FAIL, CROSSED),
    row("scores that the loss transposes", given(tagger(), tags, by_place(lambda h: h.transpose(
        1, 2)), optimizer=FAST), PASS),
    row("view of scores in the model", given(tagger(lambda h: h.view(16, 5, 12)), tags,
        functional.cross_entropy, optimizer=FAST), FAIL, CROSSED),
    row("scores that the model transposes", given(tagger(lambda h: h.transpose(1, 2)), tags,
        functional.cross_entropy, optimizer=FAST), PASS),
    row("heads cut by a view alone", given(heads(lambda h: h.view(16, 4, 12, 8), joined),
        sequences, optimizer=FAST), FAIL, CROSSED),
    row("heads joined by a view alone", given(heads(cut, lambda h: h.reshape(16, 12, 32)),
        sequences, optimizer=FAST), FAIL, CROSSED),
    row("heads, transposed twice", given(heads(cut, joined), sequences, optimizer=FAST), PASS),
    row("view of tokens as a map", given(mapped(lambda h: h.reshape(64, 32, 6, 7)), lambda: photos(
        channels_last=False), optimizer=FAST), FAIL, CROSSED),
    row("tokens transposed to a map", given(mapped(lambda h: h.mT.reshape(64, 32, 6, 7)), lambda:
        photos(channels_last=False), optimizer=FAST), PASS),
    row("view in place of a pixel shuffle", given(enlarged(lambda h: h.reshape(32, 1, 16, 16)),
        pairs, functional.mse_loss, optimizer=FAST), FAIL, CROSSED),
    row("pixel shuffle", given(enlarged(lambda h: functional.pixel_shuffle(h, 2)), pairs,
        functional.mse_loss, optimizer=FAST), PASS),
    row("view before a convolution over time", given(over_time(lambda h: h.view(16, 32, 12)),
        sequences, optimizer=FAST), FAIL, CROSSED),
    row("transposition before a convolution over time", given(over_time(lambda h: h.transpose(
        1, 2)), sequences, optimizer=FAST), PASS),
    row("relative places by a view", given(relative, sequences, optimizer=FAST), PASS),
    row("three frames as one", given(stacked, sequences, optimizer=FAST), PASS),
]  # fmt: skip
