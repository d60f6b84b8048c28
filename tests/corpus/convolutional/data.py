"""Signals, pictures and volumes, with their classes."""

from __future__ import annotations

import torch


def waves(count=32, length=64, channels=2):
    """Sines with noise, whose class is their frequency."""
    kinds = torch.randint(0, 4, (count,))
    angle = torch.arange(length) * (0.15 * (1 + kinds[:, None])) + 6 * torch.rand(count, 1)
    x = torch.stack([angle.sin() + 0.3 * torch.randn_like(angle) for _ in range(channels)], 1)
    return x * 2**0.5, kinds


def colours(count=16, size=16):
    """Coloured noise pictures whose class is the brightest of three bands, of unit scale."""
    kinds = torch.randint(0, 3, (count,))
    x = torch.randn(count, 3, size, size)
    x[torch.arange(count), kinds] += 0.7
    return x, kinds


def volumes(count=8):
    """Noise volumes in which one of two halves is brighter."""
    kinds = torch.randint(0, 2, (count,))
    x = torch.randn(count, 1, 8, 8, 8)
    x[kinds == 1, :, :4] += 1
    return x, kinds


def raw(x):
    """Pixels from 0 to 255."""
    return (127 + 64 * x).clamp(0, 255).round()


DATA = {1: waves, 2: colours, 3: volumes}
# Channels and classes of each.
ENDS = {1: (2, 4), 2: (3, 3), 3: (1, 2)}
