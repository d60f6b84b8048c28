"""Draws that are not as draws are."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..case import BAD, PASS, WARN
from ..causes import OFF_CENTRE, OUTLIER, RESEEDED, ROUNDED, SHARDS, TWINS
from .builders import recorded, row, stack


def trunc_normal_(weight, std, dtype):
    """As torch drew until 2026 (pytorch/pytorch #145498, #155588): in few bits the ends of the
    uniform law are infinities of erfinv, which the clamp sets to the bounds of ±2."""
    low = (1 + math.erf(-2 / std / math.sqrt(2))) / 2
    values = torch.empty(weight.shape, dtype=dtype)
    values.uniform_(2 * low - 1, 1 - 2 * low).erfinv_().mul_(std * math.sqrt(2)).clamp_(-2, 2)
    with torch.no_grad():
        weight.copy_(values)


def truncated(std, dtype, *layers):
    """``layers`` of three are drawn so."""

    def factory():
        model = stack(20, 64, 64, 3)
        for layer in layers:
            trunc_normal_(model[layer].weight, std, dtype)
        return model

    return recorded(factory)


def cut(std):
    def factory():
        model = stack(20, 64, 64, 3)
        for layer in (0, 2):
            nn.init.trunc_normal_(model[layer].weight, std=std)
        return model

    return recorded(factory)


def sharded(parts):
    """Rows drawn by ``parts`` ranks of one seed (pytorch/torchtitan #3106)."""

    def factory():
        model = stack(20, 64, 64, 3)
        with torch.no_grad():
            for rank, shard in enumerate(model[2].weight.chunk(parts)):
                torch.manual_seed(7 if parts > 1 else rank)
                shard.copy_(torch.randn(shard.shape) / 8)
        return model

    return recorded(factory)


def restored(*, is_restored):
    """The stream is put back after each draw, as with FSDP2 and offload (torchtitan #3106)."""

    def factory():
        model = stack(20, 32, 32, 32, 3)
        for layer in (model[2], model[4]):
            state = torch.get_rng_state()
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if is_restored:
                torch.set_rng_state(state)
        return model

    return recorded(factory)


def rounded(dtype):
    """A hidden weight around one with a deviation of a thousandth, in few bits."""

    def factory():
        model = stack(20, 64, 3)
        values = torch.empty(64, 20, dtype=dtype).normal_(1.0, 1e-3)
        with torch.no_grad():
            model[0].weight.copy_(values)
        return model

    return recorded(factory)


def positive(draw, depth):
    return recorded(lambda: stack(20, *[64] * depth, 3, draw=draw))


CASES = [
    row("pytorch 145498", truncated(0.1, torch.bfloat16, 0, 2), BAD, OUTLIER),
    row("pytorch 145498 in one layer", truncated(0.05, torch.bfloat16, 2), BAD, OUTLIER, "2"),
    row("torchtitan 2269", truncated(0.01, torch.bfloat16, 4), BAD, OUTLIER, "4"),
    row("pytorch 145498, repaired", truncated(0.1, torch.float32, 0, 2), PASS),
    row("trunc_normal_ of torch", cut(0.1), PASS),
    row("torchtitan 3106, shards", sharded(4), BAD, (SHARDS, TWINS), "2"),
    row("torchtitan 3106, shards, repaired", sharded(1), PASS),
    row("torchtitan 3106, modules", restored(is_restored=True), WARN, RESEEDED, "2"),
    row("torchtitan 3106, modules, repaired", restored(is_restored=False), PASS),
    row("rounded away", rounded(torch.bfloat16), BAD, (ROUNDED, TWINS)),
    row("all positive, deep", positive(nn.init.uniform_, 6), BAD, OFF_CENTRE),
    row("around zero, deep", positive(nn.init.kaiming_uniform_, 6), PASS),
]
