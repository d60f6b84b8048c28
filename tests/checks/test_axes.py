"""Axes that a reshape took for others, beside their twins and what reshapes are meant for."""

from __future__ import annotations

import math

import pytest
import torch
from support.starts import Model, ids
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

cross_entropy = functional.cross_entropy
# Sizes that are no multiples of each other, and one sequence whose length is one of its width.
SAMPLES, LENGTH, WIDTH, HEADS, KINDS = 6, 10, 12, 3, 5


def rows(*shape, kinds=KINDS):
    torch.manual_seed(1)
    return torch.randn(SAMPLES, *shape), torch.arange(SAMPLES) % kinds


def sequences():
    return rows(LENGTH, WIDTH)


def images(channels=3, height=7, width=5):
    return rows(channels, height, width)


def tagged(length=LENGTH, kinds=KINDS):
    """A class for each position."""
    torch.manual_seed(1)
    return torch.randn(SAMPLES, length, WIDTH), torch.randint(0, kinds, (SAMPLES, length))


def linear(given, made):
    return lambda: nn.Linear(given, made)


def conv(given, made, kernel=3, **options):
    return lambda: nn.Conv2d(given, made, kernel, padding=kernel // 2, **options)


def conv1(given, made, kernel=3):
    return lambda: nn.Conv1d(given, made, kernel, padding=kernel // 2)


def judged(run, parts, data, loss_fn=None):
    torch.manual_seed(0)
    model = Model(run, **{name: part() for name, part in parts.items()})
    return diagnose(model, data(), loss_fn, steps=1)


def pictured(turn, channels=3):
    """A convolution on what is made of the input, and a head."""
    return (
        lambda m, x: m.head(m.conv(turn(x)).relu().mean((2, 3))),
        {"conv": conv(channels, 8), "head": linear(8, KINDS)},
    )


def attended(cut, join, width=WIDTH):
    """Attention by hand: how heads are cut out of the features, and put together again."""
    each = width // HEADS

    def run(m, x):
        q, k, v = (cut(part(x)) for part in (m.q, m.k, m.v))
        mixed = (q @ k.mT / each**0.5).softmax(-1) @ v
        return m.head(m.out(join(mixed)).mean(1))

    parts = {name: linear(WIDTH, width) for name in "qkv"}
    return run, {**parts, "out": linear(width, WIDTH), "head": linear(WIDTH, KINDS)}


def cut_right(h):
    return h.view(SAMPLES, LENGTH, HEADS, -1).transpose(1, 2)


def joined_right(h):
    return h.transpose(1, 2).reshape(SAMPLES, LENGTH, -1)


def patched(turn):
    """Tokens of patches, laid out as a map for a convolution."""

    def run(m, x):
        tokens = m.patch(x).flatten(2).transpose(1, 2)
        return m.head(m.conv(turn(m.norm(tokens))).mean((2, 3)))

    return run, {"patch": lambda: nn.Conv2d(3, 16, 2, 2), "norm": lambda: nn.LayerNorm(16),
                 "conv": conv(16, 8), "head": linear(8, KINDS)}  # fmt: skip


def tagging(turn, kinds=KINDS):
    return lambda m, x: turn(m.head(x)), {"head": linear(WIDTH, kinds)}


def timed(turn):
    """A convolution over time, which wants its channels first."""
    return (lambda m, x: m.head(m.conv(turn(m.body(x))).relu().mean(2)),
            {"body": linear(WIDTH, 14), "conv": conv1(14, 8),
             "head": linear(8, KINDS)})  # fmt: skip


def upsampled(turn):
    return lambda m, x: turn(m.conv(x)), {"conv": conv(3, 4)}


def restored(turn):
    """An autoencoder whose decoder has its channels last."""
    return lambda m, x: turn(m.body(x.permute(0, 2, 3, 1))), {"body": linear(3, 3)}


def filmed(turn):
    """Codes of frames, and their mean over the frames of a film."""
    return (lambda m, x: m.head(turn(m.body(x.flatten(0, 1)).relu()).mean(1)),
            {"body": linear(WIDTH, 8), "head": linear(8, KINDS)})  # fmt: skip


def recurrent(turn):
    return (lambda m, x: m.head(m.cell(turn(x))[0][-1]),
            {"cell": lambda: nn.GRU(WIDTH, 8), "head": linear(8, KINDS)})  # fmt: skip


def last(turn):
    """The last hidden states of two layers, for one head."""
    return (lambda m, x: m.head(turn(m.cell(x)[1])),
            {"cell": lambda: nn.GRU(WIDTH, 8, 2, batch_first=True),
             "head": linear(16, KINDS)})  # fmt: skip


def larger():
    return images(height=8, width=8)[0], torch.randn(SAMPLES, 1, 16, 16)


def same():
    x = images()[0]
    return x, x


def last_channels(height=7, width=5):
    return lambda: rows(height, width, 3)


FAULTS = {
    "images whose channels are last": (
        pictured(lambda x: x.reshape(SAMPLES, 3, 7, 5)), pictured(lambda x: x.permute(0, 3, 1, 2)),
        last_channels()),
    "images of a size that three divides": (
        pictured(lambda x: x.reshape(SAMPLES, 3, 12, 12)),
        pictured(lambda x: x.permute(0, 3, 1, 2)), last_channels(12, 12)),
    "images that are flattened in between": (
        pictured(lambda x: x.flatten(1).unflatten(1, (3, 7, 5))),
        pictured(lambda x: x.permute(0, 3, 1, 2).flatten(1).unflatten(1, (3, 7, 5))),
        last_channels()),
    "a cloud of points": (
        (lambda m, x: m.head(m.conv(x.view(SAMPLES, 3, 40)).amax(2)),
         {"conv": conv1(3, 8, 1), "head": linear(8, KINDS)}),
        (lambda m, x: m.head(m.conv(x.transpose(1, 2)).amax(2)),
         {"conv": conv1(3, 8, 1), "head": linear(8, KINDS)}), lambda: rows(40, 3)),
    "logits before cross-entropy": (
        tagging(lambda h: h.view(SAMPLES, KINDS, LENGTH)),
        tagging(lambda h: h.transpose(1, 2)), tagged),
    "logits whose length is a multiple of the classes": (
        tagging(lambda h: h.view(SAMPLES, 4, 16), 4), tagging(lambda h: h.transpose(1, 2), 4),
        lambda: tagged(16, 4)),
    "heads": (
        attended(lambda h: h.view(SAMPLES, HEADS, LENGTH, -1), joined_right),
        attended(cut_right, joined_right), sequences),
    "heads that are put together again in the same way": (
        attended(lambda h: h.view(SAMPLES, HEADS, LENGTH, -1),
                 lambda h: h.reshape(SAMPLES, LENGTH, -1)),
        attended(cut_right, joined_right), sequences),
    "heads that are not put together again": (
        attended(cut_right, lambda h: h.reshape(SAMPLES, LENGTH, -1)),
        attended(cut_right, joined_right), sequences),
    "tokens as a map": (
        patched(lambda t: t.reshape(SAMPLES, 16, 7, 7)),
        patched(lambda t: t.transpose(1, 2).reshape(SAMPLES, 16, 7, 7)),
        lambda: images(height=14, width=14)),
    "tokens as a map of a power of two": (
        patched(lambda t: t.reshape(SAMPLES, 16, 8, 8)),
        patched(lambda t: t.transpose(1, 2).reshape(SAMPLES, 16, 8, 8)),
        lambda: images(height=16, width=16)),
    "blocks of channels as pixels": (
        upsampled(lambda h: h.reshape(SAMPLES, 1, 16, 16)),
        upsampled(lambda h: functional.pixel_shuffle(h, 2)), larger),
    "features for a convolution over time": (
        timed(lambda h: h.reshape(SAMPLES, 14, LENGTH)), timed(lambda h: h.transpose(1, 2)),
        sequences),
    "an image that a decoder hands back": (
        restored(lambda h: h.reshape(SAMPLES, 3, 7, 5)), restored(lambda h: h.permute(0, 3, 1, 2)),
        same),
    "frames of films": (
        filmed(lambda h: h.view(LENGTH, SAMPLES, 8).transpose(0, 1)),
        filmed(lambda h: h.view(SAMPLES, LENGTH, 8)), sequences),
    "time first": (
        recurrent(lambda x: x.view(LENGTH, SAMPLES, WIDTH)), recurrent(lambda x: x.transpose(0, 1)),
        sequences),
    "hidden states of two layers": (
        last(lambda h: h.view(SAMPLES, -1)),
        last(lambda h: h.transpose(0, 1).reshape(SAMPLES, -1)), sequences),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_axes_that_were_mixed_up_are_the_cause_and_moved_ones_are_fine(name):
    faulty, repaired, data = FAULTS[name]
    found = judged(*faulty, data)
    assert ids(found) == ["IC819"], str(found)
    assert found.findings[0].severity == "error", str(found)
    found = judged(*repaired, data)
    assert found.verdict == "pass", str(found)


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("images whose channels are last", "x.permute(0, 3, 1, 2)"),
        ("heads", "x.reshape(6, 10, 3, 4).permute(0, 2, 1, 3)"),
        ("heads that are not put together again", "x.permute(0, 2, 1, 3).reshape(6, 10, 12)"),
        ("tokens as a map", "x.reshape(6, 7, 7, 16).permute(0, 3, 1, 2)"),
        ("blocks of channels as pixels", "torch.nn.functional.pixel_shuffle"),
        ("time first", "x.permute(1, 0, 2)"),
        ("hidden states of two layers", "x.permute(1, 0, 2).reshape(6, 16)"),
    ],
)
def test_what_was_meant_is_the_remedy(name, code):
    faulty, _, data = FAULTS[name]
    (finding,) = judged(*faulty, data).findings
    assert code in finding.remedy


def test_shapes_operator_and_both_places_are_told():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3)

        def forward(self, x):
            return self.conv(x.reshape(len(x), 3, *x.shape[1:3]))

    found = judged(lambda m, x: m.head(m.block(x).mean((2, 3))),
                   {"block": Block, "head": linear(8, KINDS)}, last_channels())  # fmt: skip
    (finding,) = found.findings
    assert finding.layer == "block"
    for part in ("(6, 7, 5, 3) for (6, 3, 7, 5)", "view in block", "convolution in block.conv"):
        assert part in finding.cause


def test_a_loss_of_the_callers_is_looked_into():
    found = judged(*tagging(lambda h: h), tagged,
                   lambda h, y: cross_entropy(h.view(SAMPLES, KINDS, LENGTH), y))  # fmt: skip
    assert ids(found) == ["IC819"], str(found)
    assert "in the loss takes (6, 10, 5) for (6, 5, 10)" in found.findings[0].cause
    found = judged(*tagging(lambda h: h), tagged,
                   lambda h, y: cross_entropy(h.reshape(-1, KINDS), y.reshape(-1)))  # fmt: skip
    assert found.verdict == "pass", str(found)


def test_a_step_of_the_callers_is_looked_into():
    torch.manual_seed(0)
    run, parts = tagging(lambda h: h)

    def step(model, batch):
        return cross_entropy(model(batch[0]).view(SAMPLES, KINDS, LENGTH), batch[1])

    model = Model(run, **{name: part() for name, part in parts.items()})
    found = diagnose(model, tagged(), forward=step, steps=1)
    assert ids(found) == ["IC819"], str(found)


def test_samples_that_leak_through_it_are_told_below():
    faulty, _, data = FAULTS["time first"]
    (finding,) = judged(*faulty, data).findings
    assert any("IC805" in line for line in finding.consequences)


def shuffled(x):
    return x.view(SAMPLES, 3, 4, 7, 5).transpose(1, 2).reshape(SAMPLES, 12, 7, 5)


def skewed(scores):
    """Relative scores put into place: a column more, another shape, a row less (Shaw et al.)."""
    many, count = scores.shape[:2]
    wide = functional.pad(scores, (1, 0)).view(many, count + 1, count)
    return wide[:, 1:].reshape(many, count, count)


def relative(m, x):
    q, k, v = m.q(x), m.k(x), m.v(x)
    scores = q @ k.mT + skewed(q @ m.place.mT)
    return m.head(((scores / WIDTH**0.5).softmax(-1) @ v).mean(1))


def windows(m, x):
    """Attention within windows of 4 × 4, then a grid of 2 × 2 (Swin, MaxViT)."""
    h = m.body(x.permute(0, 2, 3, 1))
    for side in (4, 2):
        n = 8 // side
        cut = h.view(SAMPLES, n, side, n, side, 16).transpose(2, 3).reshape(-1, side * side, 16)
        cut = cut + m.mix(cut, cut, cut, need_weights=False)[0]
        h = cut.view(SAMPLES, n, n, side, side, 16).transpose(2, 3).reshape(SAMPLES, 8, 8, 16)
    return m.head(h.mean((1, 2)))


def rotated(m, x):
    """Pairs of features turned by an angle of their place."""
    q, k, v = m.q(x), m.k(x), m.v(x)
    angle = torch.arange(LENGTH)[:, None] / 10.0 ** torch.arange(WIDTH // 2)

    def turn(h):
        a, b = h.view(SAMPLES, LENGTH, WIDTH // 2, 2).unbind(-1)
        sin, cos = angle.sin(), angle.cos()
        return torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(2)

    scores = turn(q) @ turn(k).mT / WIDTH**0.5
    return m.head((scores.softmax(-1) @ v).mean(1))


def grouped(m, x):
    """Queries in groups that share keys."""
    q = m.q(x).view(SAMPLES, LENGTH, HEADS, 4).transpose(1, 2)
    k, v = (part(x).view(SAMPLES, LENGTH, 1, 4).transpose(1, 2).expand(-1, HEADS, -1, -1)
            .reshape(SAMPLES, HEADS, LENGTH, 4) for part in (m.k, m.v))  # fmt: skip
    mixed = functional.scaled_dot_product_attention(q, k, v)
    return m.head(mixed.transpose(1, 2).flatten(2).mean(1))


def unfolded(m, x):
    patches = functional.unfold(x, 3).view(SAMPLES, 3, 9, 5, 3)
    return m.head(m.body(patches.permute(0, 3, 4, 1, 2).flatten(3)).relu().mean((1, 2)))


def patches(m, x):
    cut = x.reshape(SAMPLES, 3, 4, 4, 4, 4).permute(0, 2, 4, 3, 5, 1).reshape(SAMPLES, 16, 48)
    back = m.body(cut).view(SAMPLES, 4, 4, 4, 4, 3).permute(0, 5, 1, 3, 2, 4)
    return back.reshape(SAMPLES, 3, 16, 16)


def sixteen():
    x = images(height=16, width=16)[0]
    return x, x


def stacked(m, x):
    """Pairs of frames as one, then time-distributed layers on all of them."""
    h = m.body(x.reshape(SAMPLES, LENGTH // 2, 2 * WIDTH))
    h = m.more(h.view(-1, WIDTH)).relu().view(SAMPLES, -1, WIDTH)
    return m.head(h.mean(1))


def unstacked(m, x):
    """A pair of frames out of each."""
    return m.head(m.conv(m.body(x).view(SAMPLES, 2 * LENGTH, 12).transpose(1, 2)).mean(2))


def routed(m, x):
    """Two experts for each token, whose heads are attended to as one axis of heads."""
    each = m.q(x.view(-1, 1, WIDTH).expand(-1, 2, -1).reshape(-1, WIDTH)[torch.arange(192)])
    q = each.view(SAMPLES, 16, 2 * 2, 8).transpose(1, 2)
    k, v = (part(x).view(SAMPLES, 16, 4, 8).transpose(1, 2) for part in (m.k, m.v))
    mixed = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return m.head(mixed.reshape(-1, 2, 16).sum(1).view(SAMPLES, 16, 16).mean(1))


def squared(m, x):
    """A view of other axes that is taken back before anything reads them."""
    h = m.body(x)
    return m.head(h.view(SAMPLES, 8, LENGTH).tanh().view(SAMPLES, LENGTH, 8).mean(1))


def generated(m, x):
    h = m.body(x).view(SAMPLES, 4, 7, 5)
    return m.head(m.conv(h).relu().flatten(1))


def excited(m, x):
    h = m.conv(x)
    gate = m.gate(h.mean((2, 3))).sigmoid().view(SAMPLES, 8, 1, 1)
    return m.head((h * gate).mean((2, 3)))


QKV = {name: linear(WIDTH, WIDTH) for name in "qkv"}
HEAD = {"head": linear(WIDTH, KINDS)}
SOUND = {
    "a shuffle of channels": (
        lambda m, x: m.head(m.more(shuffled(m.conv(x))).relu().mean((2, 3))),
        {"conv": conv(3, 12), "more": conv(12, 8, groups=4), "head": linear(8, KINDS)}, images),
    "a shuffle of pixels by hand": (
        lambda m, x: m.conv(x).view(SAMPLES, 1, 2, 2, 8, 8).permute(0, 1, 4, 2, 5, 3)
        .reshape(SAMPLES, 1, 16, 16), {"conv": conv(3, 4)}, larger),
    "pixels as channels": (
        lambda m, x: m.head(m.conv(functional.pixel_unshuffle(x, 2)).mean((2, 3))),
        {"conv": conv(12, 8), "head": linear(8, KINDS)}, lambda: images(height=8, width=6)),
    "patches, and back": (patches, {"body": linear(48, 48)}, sixteen),
    "torch's attention": (
        lambda m, x: m.head(m.mix(x, x, x)[0].mean(1)),
        {"mix": lambda: nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), **HEAD}, sequences),
    "shared keys": (
        grouped, {"q": linear(WIDTH, 12), "k": linear(WIDTH, 4), "v": linear(WIDTH, 4), **HEAD},
        sequences),
    "relative places": (
        relative, {**QKV, **HEAD, "place": lambda: nn.Parameter(torch.randn(LENGTH, WIDTH))},
        sequences),
    "rotary places": (rotated, {**QKV, **HEAD}, sequences),
    "windows of two sizes": (
        windows, {"body": linear(3, 16), "head": linear(16, KINDS),
                  "mix": lambda: nn.MultiheadAttention(16, 2, batch_first=True)},
        lambda: images(height=8, width=8)),
    "overlapping windows": (unfolded, {"body": linear(27, 8), "head": linear(8, KINDS)}, images),
    "halves that gate each other": (
        lambda m, x: m.head((lambda h: h[:, :, 0] * h[:, :, 1].sigmoid())(
            m.body(x).view(SAMPLES, LENGTH, 2, WIDTH)).mean(1)),
        {"body": linear(WIDTH, 2 * WIDTH), **HEAD}, sequences),
    "frames stacked": (
        stacked, {"body": linear(2 * WIDTH, WIDTH), "more": linear(WIDTH, WIDTH), **HEAD},
        sequences),
    "frames unrolled": (
        unstacked, {"body": linear(WIDTH, 24), "conv": conv1(12, 8), "head": linear(8, KINDS)},
        sequences),
    "heads of several experts": (
        routed, {"q": linear(WIDTH, 16), "k": linear(WIDTH, 32), "v": linear(WIDTH, 32),
                 "head": linear(16, KINDS)}, lambda: rows(16, WIDTH)),
    "as many rows as features in a head": (
        lambda m, x: m.head((m.norm(m.body(x).view(-1, 96)) * m.gate(x).view(-1, 96).sigmoid())
                            .view(SAMPLES, 16, 192).mean(1)),
        {"body": linear(WIDTH, 192), "gate": linear(WIDTH, 192), "norm": lambda: nn.LayerNorm(96),
         "head": linear(192, KINDS)}, lambda: rows(16, WIDTH)),
    "a view that is taken back": (
        squared, {"body": linear(WIDTH, 8), "head": linear(8, KINDS)}, sequences),
    "everything flattened for a layer": (
        lambda m, x: m.head(m.body(x).view(SAMPLES, 8, LENGTH).flatten(1).relu()),
        {"body": linear(WIDTH, 8), "head": linear(8 * LENGTH, KINDS)}, sequences),
    "a map that a layer draws": (
        generated, {"body": linear(WIDTH, 140), "conv": conv(4, 2), "head": linear(70, KINDS)},
        lambda: rows(WIDTH)),
    "channels that are weighed": (
        excited, {"conv": conv(3, 8), "gate": linear(8, 8), "head": linear(8, KINDS)}, images),
    "gray images whose one channel is last": (
        lambda m, x: m.head(m.conv(x.reshape(SAMPLES, 1, 7, 5)).relu().mean((2, 3))),
        {"conv": conv(1, 8), "head": linear(8, KINDS)}, lambda: rows(7, 5, 1)),
    "as many positions as features": (
        lambda m, x: m.head(m.conv(m.body(x).view(SAMPLES, 10, 10)).mean(2)),
        {"body": linear(WIDTH, 10), "conv": conv1(10, 8), "head": linear(8, KINDS)}, sequences),
    "the rows of a grid in chunks": (
        lambda m, x: m.head(m.mix(*[m.patch(x).flatten(2).mT.reshape(-1, 49, 8)] * 3)[0]
                            .reshape(SAMPLES, -1, 8).mean(1)),
        {"patch": lambda: nn.Conv2d(3, 8, 1), "head": linear(8, KINDS),
         "mix": lambda: nn.MultiheadAttention(8, 2, batch_first=True)},
        lambda: images(height=14, width=14)),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_reshapes_are_for_is_no_confusion(name):
    run, parts, data = SOUND[name]
    found = judged(run, parts, data)
    assert found.verdict == "pass", str(found)
    assert math.isfinite(found.losses[0])


def test_a_shape_that_only_tears_units_is_a_warning():
    """Capsules cut across the channels of a map, as (B, 12, 6, 6) viewed as (B, 54, 8)."""
    found = judged(
        lambda m, x: m.head(m.more(m.conv(x).view(SAMPLES, 54, 8)).relu().mean(1)),
        {"conv": conv(3, 12), "more": linear(8, 8), "head": linear(8, KINDS)},
        lambda: images(height=6, width=6),
    )
    assert ids(found) == ["IC819"], str(found)
    assert found.verdict == "warn"
