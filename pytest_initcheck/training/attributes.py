"""The attributes of a model's modules that are plain values."""

from __future__ import annotations

from torch import nn

from pytest_initcheck.capture.restore import UNCHANGING


def plain_attributes(model: nn.Module) -> dict[tuple[str, str], object]:
    """Module and name of each, with its value."""
    return {
        (name, key): value
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if type(value) in UNCHANGING
    }
