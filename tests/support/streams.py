"""Stacks with a residual stream, and what is gathered of them."""

from __future__ import annotations

import torch
from torch import nn

from pytest_initcheck.diagnosis.gather import gather
from pytest_initcheck.diagnosis.subject import Subject

WIDTH = 16


class Branch(nn.Module):
    """Two layers whose output is added to the input in some way."""

    def __init__(self, way, gain=1.0):
        super().__init__()
        self.way, self.norm = way, nn.LayerNorm(WIDTH)
        self.one, self.two = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        nn.init.xavier_normal_(self.one.weight)
        nn.init.xavier_normal_(self.two.weight, gain=gain)

    def forward(self, x):
        return self.way(x, self.two(torch.relu(self.one(self.norm(x)))))


class Stack(nn.Module):
    """Branches, a normalisation and a head."""

    def __init__(self, way=torch.add, count=3, gain=1.0):
        super().__init__()
        self.blocks = nn.ModuleList(Branch(way, gain) for _ in range(count))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x))


def batch(count=16):
    """Normal inputs with labels of three classes."""
    return torch.randn(count, WIDTH), torch.arange(count) % 3


def gathered(model, **options):
    """The evidence of one step."""
    return gather(Subject(model=model, batch=batch(), steps=1, **options))
