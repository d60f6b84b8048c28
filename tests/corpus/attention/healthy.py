"""Attention models in which nothing, or little, is wrong."""

from __future__ import annotations

from torch import nn

from ..case import MILD, PASS, Start
from .blocks import Attend, Squared
from .builders import every, glorot_all, pooled, row, sets, sorter, stack, writer, zeros
from .modules import Adapter, Masked, Prompted, Saved, Sorter, Tensors, encoder

CASES = [
    row("constant q", writer(every(("attend.q",), 0.05)), MILD),
    row("zero q", writer(every(("attend.q",), 0.0)), PASS),
    row("zero o and zero down", writer(lambda m: [every(("attend.o", "feed.down"), 0.0, block=i)(m)
        for i in (0, 1)]), PASS),
    row("with scale", sorter(lambda: Attend(256, 2, groups=2, kind="einsum"), glorot_all(),
        width=256), PASS),
    row("causal mask", sorter(lambda: Masked(empty=False)), PASS),
    row("adapter with zero up", sorter(lambda: Adapter(zeros("up"))), PASS),
    row("low rank with A zero", sorter(lambda: Adapter(zeros("down"), low=True)), PASS),
    row("zero prompts", sorter(Prompted), PASS),
    row("rotary, grouped, SwiGLU", writer(rotary=True, groups=2), PASS),
    row("relative bias of zero", writer(kind="einsum", relative=True), PASS),
    row("cosine with scale 10", writer(unit=True, scale=10.0), MILD),
    row("LayerNorm last", writer(norm=nn.LayerNorm, post=True, feed=Squared), PASS),
    row("checkpointed", writer(saved=True), PASS),
    row("checkpointed torch layer", sorter(Saved), PASS),
    row("pooling", pooled(1), PASS),
    row("einsum weights", sorter(Tensors), PASS),
    row("torch encoder", stack({}), PASS),
    row("torch encoder, norm first", stack({"norm_first": True, "activation": "gelu"}), PASS),
    row("one token", lambda: Start(Sorter(encoder()()), sets(length=1)), PASS),
    row("bfloat16", writer(lambda m: m.bfloat16()), PASS),
    row("default embedding N(0, 1)", writer(sigma=1.0), PASS),
]  # fmt: skip
