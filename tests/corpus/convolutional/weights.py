"""Convolutional networks whose kernels are alike, zero, dead or saturated."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, WARN, Start
from ..causes import COPIES, CUT, DEAD, FLAT, LOCKED, LOSS, RECTIFIED, SILENT, TWINS, VANISHED, ZERO
from ..changes import at, fill, filled, negative, sunk
from ..nets import built, constant, layers, normal
from .builders import (
    LEAKY,
    R,
    S,
    T,
    blocks,
    coder,
    deep_copy,
    digits,
    equal_kernels,
    group,
    net,
    row,
    segments,
    towers,
    upward,
)
from .data import DATA, colours
from .modules import NormThenMean

CASES = [
    *(row(f"{dims}d kernels of {value}, {act.__name__}", net(dims, act, 3, init=constant(value)),
          FAIL, LOCKED, "0")
      for dims, value, act in ((1, 0.05, R), (3, 0.02, nn.GELU), (2, -0.1, T), (1, 0.3, nn.SELU),
                               (3, 0.1, nn.Softplus), (2, 0.01, nn.PReLU))),
    *(row(f"{dims}d kernels filled, biases too", net(dims, act, 3, change=lambda m: [
        filled(0.04, 0.04)(layer) for layer in layers(m)]), FAIL, LOCKED, "0")
      for dims, act in ((1, nn.SiLU), (2, LEAKY), (3, R))),
    row("two constant kernels in the middle", net(2, nn.ELU, 5, change=fill(0.05, 4, 6)),
        FAIL, LOCKED, "4"),
    row("constant kernels with batch norm",
        net(2, R, 3, norm=nn.BatchNorm2d, init=constant(0.1)), FAIL, LOCKED, "0"),
    *(row(f"{dims}d equal kernels, equal readers", net(dims, act, 3, change=equal_kernels), FAIL,
          LOCKED, "0") for dims, act in ((1, T), (2, R), (3, nn.SiLU))),
    row("constant decoder", coder(functional.gelu, None, fill(0.05, "three", "four")), FAIL,
        LOCKED, "three"),
    *(row(f"{dims}d constant transposed convolutions", upward(dims), FAIL, LOCKED, "0")
      for dims in DATA),
    *(row(f"{dims}d two zero convolutions, {act.__name__}", net(dims, act, 4, change=fill(
          0.0, 2, 4)), FAIL, ZERO, "2 4")
      for dims, act in ((1, nn.GELU), (2, T), (3, nn.SiLU))),
    row("two zero transposed convolutions", coder(torch.tanh, None, fill(0.0, "three", "four")),
        FAIL, ZERO, "three four"),
    *(row(f"{dims}d zero convolution before a ReLU", net(dims, R, 3, change=fill(0.0, 2)),
          FAIL, (ZERO, DEAD), "2") for dims in DATA),
    row("zero kernels everywhere, sigmoid", net(2, S, 3, init=constant(0.0)), FAIL,
        (LOCKED, ZERO), "0 2 4 8"),
    row("zero convolution before ReLU, then group norm", built(lambda: nn.Sequential(
        nn.Conv2d(3, 8, 3), R(), nn.Conv2d(8, 8, 3), R(), group(8), nn.Conv2d(8, 8, 3), R(),
        nn.Flatten(), nn.Linear(800, 3)), fill(0.0, 2), colours), FAIL, (ZERO, DEAD), "2"),
    *(row(f"{dims}d bias -30, {act.__name__}", net(dims, act, 4, change=sunk(4)),
          FAIL, (DEAD, FLAT), "4 5")
      for dims, act in ((1, R), (3, R), (2, nn.GELU), (1, nn.ELU), (3, nn.Softplus),
                        (2, nn.Hardswish), (2, S))),
    row("negative kernels on pixels", digits(at(0, do=negative)), FAIL, DEAD, "0"),
    row("dead decoder", coder(torch.relu, None, sunk("three", -9.0)), FAIL, DEAD,
        "three"),
    row("dead segmentation head", segments(3, R(), sunk("out", -9.0)), FAIL,
        (DEAD, RECTIFIED), "out last"),
    row("batch norm of bias -20 before a ReLU", net(
        2, R, 3, norm=nn.BatchNorm2d, change=sunk(4, -20.0)), FAIL, DEAD, "3 4 5"),
    row("dead convolution before a batch norm", net(2, R, 3, change=sunk(2),
        head=lambda: nn.Sequential(nn.BatchNorm1d(192), nn.Linear(192, 3))), FAIL, DEAD, "2"),
    *(row(f"{dims}d tanh by N(0, 2)", net(dims, T, 3, init=normal(2)), BAD, (FLAT, LOSS))
      for dims in DATA),
    row("hardsigmoid by N(0, 5)", net(2, nn.Hardsigmoid, 3, init=normal(5)), FAIL, (FLAT, LOSS)),
    row("zero gain of a group norm", net(2, nn.SiLU, 3, norm=group, change=at(
        4, do=filled(0.0, 1.0))), FAIL, CUT, "4"),
    row("zero gain of a batch norm, 1d", net(1, R, 3, norm=nn.BatchNorm1d, change=at(
        1, do=filled(0.0, 1.0))), FAIL, CUT, "1"),
    row("blocks of zero batch norm without skips",
        blocks(3, nn.BatchNorm2d, zero="norm", skip=False, act=torch.tanh), FAIL,
        (CUT, ZERO), "norm.1 norm.3 norm.5"),
    row("instance norm before the mean", lambda: Start(NormThenMean(
        nn.InstanceNorm2d), colours()), FAIL, (*VANISHED, SILENT)),
    row("group norm of single channels before the mean",
        lambda: Start(NormThenMean(lambda n: nn.GroupNorm(n, n)), colours()), FAIL,
        (*VANISHED, SILENT)),
    row("copied convolutions in series", net(2, R, 4, change=deep_copy), WARN, COPIES),
    row("copied towers", towers(copied=True), FAIL, TWINS),
]  # fmt: skip
