"""Images that were reshaped before they came, and the same images transposed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS, WARN
from ..causes import INTERLEAVED
from ..nets import adam
from .builders import given, row

FAST = adam(3e-3)


def boxes(channels=3, side=16):
    """Boxes, upright or lying, in one of two colours; channels are last."""
    kinds = torch.randint(0, 4, (64,))
    images = 0.3 * torch.randn(64, side, side, channels)
    for image, kind in zip(images, kinds.tolist(), strict=True):
        top, left = torch.randint(0, side - 6, (2,)).tolist()
        tall, wide = (6, 2) if kind % 2 else (2, 6)
        image[top : top + tall, left : left + wide, kind // 2] += 2
    return images, kinds


def clouds(coloured=1.0):
    """Smooth clouds, of which the quarter with the most light is to be told; channels are last."""
    coarse = torch.randn(64, 1, 5, 5) + coloured * torch.randn(64, 3, 5, 5)
    fine = functional.interpolate(coarse, 20, mode="bicubic")
    light = functional.adaptive_avg_pool2d(fine.mean(1), 2).flatten(1)
    return fine.permute(0, 2, 3, 1).contiguous(), light.argmax(1)


def bytes_of(images):
    return (images * 40 + 120).clamp(0, 255).round() / 255


def reshaped(images):
    samples, high, wide, channels = images.shape
    return images.reshape(samples, channels, high, wide)


def transposed(images):
    return images.permute(0, 3, 1, 2)


def checks():
    """A fine pattern, whose neighbours are less alike than what is two apart."""
    places = torch.arange(16)
    pattern = ((places[:, None] + places) % 2).float()
    kinds = torch.randint(0, 2, (64,))
    signs = (2.0 * kinds - 1)[:, None, None, None]
    return signs * pattern.expand(64, 3, 16, 16) + 0.5 * torch.randn(64, 3, 16, 16), kinds


def stripes():
    """Rows that come again after three, at a place of their own for each image."""
    places, kinds = torch.arange(18), torch.randint(0, 3, (64,))
    rows = ((places[None] + kinds[:, None]) % 3 == 0).float()
    return rows[:, None, :, None] + 0.3 * torch.randn(64, 3, 18, 18), kinds


def edges():
    """What a high-pass filter leaves of noise."""
    noise, kinds = torch.randn(64, 3, 16, 16), torch.randint(0, 2, (64,))
    return (noise - functional.avg_pool2d(noise, 3, 1, 1)) * (
        1.0 + kinds[:, None, None, None]
    ), kinds


def network(channels=3):
    return lambda: nn.Sequential(
        nn.Conv2d(channels, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(),
        nn.Linear(24, 4),
    )  # fmt: skip


def made(data, turn, change=lambda images: images):
    """A batch whose images are turned and changed."""

    def batch():
        images, kinds = data()
        return change(turn(images)), kinds

    return batch


SEEN = {
    "boxes": (network(), boxes, lambda images: images),
    "boxes of four channels": (network(4), lambda: boxes(4), lambda images: images),
    "clouds of colour": (network(), clouds, bytes_of),
    "clouds that are nearly grey": (network(), lambda: clouds(0.2), lambda images: images),
}

CASES = [
    *(
        row(f"{name}, reshaped before they came",
            given(model, made(data, reshaped, change), optimizer=FAST), WARN, INTERLEAVED)
        for name, (model, data, change) in SEEN.items()
    ),
    *(
        row(f"{name}, transposed before they came",
            given(model, made(data, transposed, change), optimizer=FAST), PASS)
        for name, (model, data, change) in SEEN.items()
    ),
    *(
        row(name, given(network(), data, optimizer=FAST), PASS)
        for name, data in {
            "a fine pattern": checks,
            "stripes three rows apart": stripes,
            "edges alone": edges,
        }.items()
    ),
]  # fmt: skip
