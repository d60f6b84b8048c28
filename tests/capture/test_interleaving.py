"""Images that a reshape mixed up before they came."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


def smooth(samples=16, channels=3, high=16, wide=20):
    torch.manual_seed(0)
    coarse = torch.randn(samples, channels, 5, 5)
    fine = functional.interpolate(coarse, (high, wide), mode="bicubic")
    return fine.permute(0, 2, 3, 1).contiguous()


def mixed(images):
    samples, high, wide, channels = images.shape
    return images.reshape(samples, channels, high, wide)


def found(inputs):
    """The IC824 of a small network on these images."""
    torch.manual_seed(0)
    channels = inputs.shape[1]
    model = nn.Sequential(nn.Conv2d(channels, 8, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(3))
    batch = inputs, torch.arange(len(inputs)) % 3
    return [each for each in diagnose(model, batch).findings if each.id == "IC824"]


@pytest.mark.parametrize("channels", [2, 3, 4])
@pytest.mark.parametrize("shape", [(16, 20), (21, 13)], ids=str)
def test_a_reshape_is_seen_in_the_values_and_a_transposition_is_not(channels, shape):
    images = smooth(24, channels, *shape)
    (warned,) = found(mixed(images))
    assert warned.severity == "warning"
    assert warned.measured > 1
    assert f"rows of inputs (24, {channels}, {shape[0]}, {shape[1]})" in str(warned)
    assert found(images.permute(0, 3, 1, 2)) == []


def test_channels_that_are_nearly_alike_show_it_by_their_steps():
    grey = smooth(channels=1) + 0.05 * smooth()
    assert len(found(mixed(grey))) == 1
    assert found(grey.permute(0, 3, 1, 2)) == []


def test_the_order_in_memory_is_no_fault():
    images = smooth().permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    assert found(images) == []


@pytest.mark.parametrize(
    "images",
    [
        mixed(smooth(7)),
        mixed(smooth(channels=1)),
        mixed(smooth(channels=5)),
        mixed(smooth(16, 3, 7, 7)),
        mixed(torch.randn(16, 16, 20, 3)),
        torch.zeros(16, 3, 16, 16),
    ],
    ids=["few samples", "one channel", "five", "small", "noise", "nothing"],
)
def test_what_tells_nothing_is_not_judged(images):
    assert found(images) == []
