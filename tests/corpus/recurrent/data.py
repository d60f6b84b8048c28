"""Sequences: normal ones, and ones whose first step says all."""

from __future__ import annotations

import torch


def series(length=12, features=12, count=32, kinds=3):
    """Normal sequences whose class is a projection of their last three steps."""
    x = torch.randn(count, length, features)
    return x, (x[:, -3:].sum(1) @ torch.randn(features, kinds)).argmax(1)


def pulse(length=40, features=12, count=32, kinds=3):
    """Sequences that are zero after their first step, which says the class."""
    x = torch.zeros(count, length, features)
    x[:, 0] = torch.randn(count, features)
    return x, (x[:, 0] @ torch.randn(features, kinds)).argmax(1)
