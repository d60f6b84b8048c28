"""Attention models that learn nothing, or little."""

from __future__ import annotations

import math

from ..case import BAD, FAIL, WARN
from ..causes import (
    BAD_WEIGHTS,
    BLOWN,
    COPIES,
    CUT,
    DEAD,
    INPUTS,
    LOCKED,
    LOSS,
    MEMORY,
    ONE_SOFTMAX,
    OVERFLOW,
    PEAKED,
    SILENT,
    STILL,
    SUM,
    TWINS,
    ZERO,
)
from ..changes import at, denormal, fill, filled, poke, sunk
from ..nets import sgd, summed
from .blocks import Attend, Squared
from .builders import every, glorot_all, pooled, row, sorter, stack, writer, zeros
from .modules import Adapter, Deaf, Latents, Masked, Own, SideBySide, Tensors, encoder

SLOW = {"optimizer": sgd(0.3)}
CASES = [
    row("constant q and k", writer(every(("attend.q", "attend.k"), 0.05)), FAIL, LOCKED,
        "blocks.0.attend.q blocks.0.attend.k"),
    row("constant v and o", writer(every(("attend.v", "attend.o"), 0.05, block=1)), FAIL, LOCKED,
        "blocks.1.attend.v"),
    row("zero q and k", writer(every(("attend.q", "attend.k"), 0.0)), FAIL, ZERO,
        "blocks.0.attend.q blocks.0.attend.k"),
    row("zero v and o", writer(every(("attend.v", "attend.o"), 0.0)), FAIL, ZERO,
        "blocks.0.attend.v blocks.0.attend.o"),
    row("constant in_proj of MultiheadAttention", sorter(Own,
        lambda m: m.body.attn.in_proj_weight.fill_(0.05)), FAIL, LOCKED, "body.attn"),
    row("constant gate, up and down", writer(every(("feed.gate", "feed.up", "feed.down"), 0.05,
        block=1)), FAIL, LOCKED, "blocks.1.feed.gate blocks.1.feed.up"),
    row("zero gate and up", writer(every(("feed.gate", "feed.up"), 0.0)), FAIL, ZERO,
        "blocks.0.feed.gate blocks.0.feed.up"),
    row("constant feed-forward in the last of three layers",
        stack({}, fill(0.1, "body.layers.2.linear1", "body.layers.2.linear2")), FAIL, LOCKED,
        "body.layers.2.linear1"),
    row("dead feed-forward", stack({}, sunk("body.layers.1.linear1")), FAIL, DEAD,
        "body.layers.1.linear1"),
    row("dead squared ReLU", writer(sunk("blocks.0.feed.up"), feed=Squared), FAIL, DEAD,
        "blocks.0.feed.up"),
    row("swapped last norm after the residual", stack({}, at("body.layers.2.norm2",
        do=filled(0.0, 1.0))), FAIL, CUT, "body.layers.2.norm2"),
    row("einsum without scale", sorter(lambda: Attend(256, 2, groups=2, kind="einsum", scale=1.0),
        glorot_all(), width=256), WARN, PEAKED, "body body.q body.k"),
    row("sdpa with scale 1", sorter(lambda: Attend(256, 2, groups=2, scale=1.0), glorot_all(),
        width=256), WARN, PEAKED, "body body.q body.k"),
    row("q and k by N(0, 2²)", sorter(lambda: Attend(kind="einsum"), glorot_all(2)), BAD, PEAKED,
        "body body.q body.k"),
    row("tied N(0, 1)", writer(tied=True, sigma=1.0), FAIL, LOSS),
    row("copied heads side by side", sorter(lambda: SideBySide(added=False)), WARN, COPIES),
    row("copied heads added", sorter(lambda: SideBySide(added=True)), FAIL, TWINS),
    row("latent queries all alike", sorter(lambda: Latents(0.0)), FAIL, LOCKED, "body"),
    row("queries with nothing to see", sorter(lambda: Masked(empty=True)), FAIL, OVERFLOW,
        "body body.attend"),
    row("NaN in a norm", writer(poke("blocks.1.norm1.weight", math.nan)), FAIL, BAD_WEIGHTS,
        "blocks.1.norm1"),
    row("denormals in q and k", writer(denormal("blocks.0.attend.q", "blocks.0.attend.k"), SLOW),
        FAIL, MEMORY, "blocks.0.attend.q blocks.0.attend.k"),
    row("denormals in v and o", writer(denormal("blocks.0.attend.v", "blocks.0.attend.o"), SLOW),
        FAIL, MEMORY, "blocks.0.attend.v blocks.0.attend.o"),
    row("adapter of zeros before a ReLU", sorter(lambda: Adapter(zeros("down"))), FAIL,
        (ZERO, DEAD), "body.down"),
    row("low rank with A and B zero", sorter(lambda: Adapter(zeros("down", "up"), low=True)), FAIL,
        ZERO, "body.down body.up"),
    row("inputs times 1000", sorter(encoder(), scale=1000.0), BAD, INPUTS),
    row("summed loss", writer(opt={"loss_fn": summed, "optimizer": sgd(3.0)}), FAIL, (SUM, BLOWN)),
    row("rate 1e-9 for bfloat16 weights", writer(lambda m: m.bfloat16(),
        opt={"optimizer": sgd(1e-9)}), BAD, STILL),
    row("pooling over the unit axis", pooled(-1), BAD, ONE_SOFTMAX, "score"),
    row("einsum weights of one value for q and k", sorter(lambda: Tensors(0.1)), FAIL, LOCKED,
        "body"),
    row("detached q", sorter(Deaf), FAIL, SILENT, "body.q"),
]  # fmt: skip
