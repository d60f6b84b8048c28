"""How many values a unit of one of torch's layers reads, and by how many units one is read."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from pytest_initcheck.evidence.law import Fans


def fans_of(module: nn.Module) -> Fans | None:
    """As the layer uses its weight; None for all but linear and convolutional layers.

    A transposed convolution with stride s spreads every value over k places of which each gets
    k/s values; a group reads its own channels alone.
    """
    if isinstance(module, _ConvNd):
        kernel = math.prod(module.kernel_size) / module.groups
        step = math.prod(module.stride)
        read, made = module.in_channels * kernel, module.out_channels * kernel
        if isinstance(module, _ConvTransposeNd):
            return Fans(read / step, made)
        return Fans(read, made)
    if isinstance(module, nn.Linear):
        return Fans(module.in_features, module.out_features)
    return None
