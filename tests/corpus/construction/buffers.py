"""Buffers that cannot be meant as they are."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, PASS, WARN
from ..causes import MASK, STATISTICS, TABLE
from ..nets import sequences
from .builders import recorded, row


def normed(change):
    """A batch normalisation that something is done to."""

    def factory():
        model = nn.Sequential(nn.Linear(20, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 3))
        with torch.no_grad():
            change(model)
        return model

    return recorded(factory)


def draw_all(model):
    """An initialiser that takes all of the state for weights."""
    for name, value in model.state_dict().items():
        if name.endswith("mean"):
            value.normal_(std=0.5)


class Positioned(nn.Module):
    """Causal attention over positions from a table."""

    def __init__(self, table, mask):
        super().__init__()
        self.embed, self.qkv, self.head = nn.Linear(20, 16), nn.Linear(16, 48), nn.Linear(16, 3)
        self.register_buffer("pos_embed", table)
        self.register_buffer("causal_mask", mask)

    def forward(self, x):
        q, k, v = self.qkv(self.embed(x) + self.pos_embed).chunk(3, -1)
        return self.head(functional.scaled_dot_product_attention(q, k, v, self.causal_mask).mean(1))


def waves():
    rates = 1 / 100 ** (torch.arange(8) / 8)
    angles = torch.outer(torch.arange(12.0), rates)
    return torch.cat([angles.sin(), angles.cos()], 1)


def seen():
    return torch.ones(12, 12, dtype=torch.bool)


def positioned(table=waves, mask=lambda: seen().tril()):
    def factory():
        return Positioned(table(), mask())

    return recorded(factory, lambda: sequences(20, 12, 16, 3))


CASES = [
    row("statistics drawn", normed(draw_all), WARN, STATISTICS, "1"),
    row("statistics of zero variance", normed(lambda m: m[1].running_var.zero_()), BAD, STATISTICS),
    row("statistics at rest", normed(lambda m: None), PASS),
    row("a table of zeros", positioned(table=lambda: torch.zeros(12, 16)), WARN, TABLE),
    row("a table of waves", positioned(), PASS),
    row("a mask of ones", positioned(mask=seen), WARN, MASK),
    row("a mask turned round", positioned(mask=lambda: seen().triu()), WARN, MASK),
    row("a mask that adds", positioned(mask=lambda: torch.full((12, 12), -1e9).triu(1)), PASS),
]
