"""Feed-forward networks whose units, or layers, start and stay alike, or at zero."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.utils import prune

from ..case import BAD, FAIL, MILD, WARN
from ..causes import COPIES, DEAD, LOCKED, NEARLY, NONFINITE, SILENT, TWINS, VANISHED, ZERO
from ..changes import at, fill, frozen, same_weights, several, twins
from ..nets import Through, adam, constant, drawn
from .builders import (
    ACTIVATIONS,
    LEAKY,
    R,
    S,
    T,
    by_state_dict,
    doubled,
    net,
    plain,
    row,
    series_copies,
    thirds,
    towers,
)
from .data import lines, yes_no
from .modules import LowRank, Product

CASES = [
    *(row(f"all weights .1, {name}", net(act, 20, 24, 24, 5, init=constant(0.1)), FAIL, LOCKED, "0")
      for name, act in ACTIVATIONS.items()),
    row("all weights 0, sigmoid", net(S, 20, 24, 24, 5, init=constant(0.0)), FAIL,
        (LOCKED, ZERO), "0 2 4"),
    row("all weights 0, softplus, regression",
        net(nn.Softplus, 20, 24, 24, 1, init=constant(0.0), data=lines()), FAIL,
        (LOCKED, ZERO), "0 2 4"),
    row("two constant layers in the middle of six, ELU",
        net(nn.ELU, 20, *[24] * 6, 5, change=fill(0.05, 4, 6)), FAIL, LOCKED, "4"),
    row("constant body, zero head", net(T, 12, 300, 5, change=fill(-0.2, 0, 2), optimizer=adam(
        1e-2)), FAIL, LOCKED, "0"),
    row("equal pairs, equal readers", net(nn.GELU, 20, 64, 32, 5, change=doubled), FAIL, LOCKED,
        "0"),
    row("constant weights with noise of 1e-9", net(T, 20, 24, 24, 5, init=drawn(
        lambda w: w.data.fill_(0.1).add_(1e-9 * torch.randn_like(w)))), FAIL, LOCKED, "0"),
    row("constant weights, drawn at 1e-5", net(T, 20, 24, 24, 5, init=drawn(
        lambda w: w.data.copy_(0.1 + 1e-5 * torch.randn_like(w)))), BAD,
        (NEARLY, LOCKED), "0"),
    row("three values for 48 units, all layers", net(nn.ELU, 20, 48, 48, 5, init=thirds), FAIL,
        LOCKED, "0"),
    row("each column of one value", net(T, 20, 32, 32, 5, init=drawn(
        lambda w: w.data.copy_(torch.randn(1, w.shape[1]).expand_as(w) / w.shape[1] ** 0.5))),
        FAIL, LOCKED, "0 2"),
    row("two zero layers, GELU", net(nn.GELU, 20, 32, 32, 32, 5, change=fill(0.0, 2, 4)), FAIL,
        ZERO, "2 4"),
    row("two zero layers, tanh, regression",
        net(T, 20, 50, 50, 50, 1, data=lines(), change=fill(0.0, 2, 4), optimizer=adam(1e-2)),
        FAIL, ZERO, "2 4"),
    row("zero layer and zero head, SiLU", net(nn.SiLU, 20, 128, 5, change=fill(0.0, 0, 2)), FAIL,
        (ZERO, LOCKED), "0 2"),
    row("zero layer before ReLU6", net(nn.ReLU6, 20, 32, 32, 5, change=fill(0.0, 2)), FAIL,
        (ZERO, DEAD), "2"),
    row("factors, both zero", plain(lambda: LowRank("uv")), FAIL, ZERO, "u v"),
    row("gate and value zero", plain(Product), FAIL, ZERO, "gate value"),
    row("zero layer divided by its length", net(lambda: Through(
        lambda x: x / x.square().sum(-1, keepdim=True).sqrt()), 20, 64, 5, change=fill(0.0, 0)),
        FAIL, (ZERO, *NONFINITE)),
    row("a layer pruned away", net(R, 20, 64, 64, 5, change=at(
        2, do=lambda m: prune.l1_unstructured(m, "weight", 1.0))), FAIL,
        (ZERO, SILENT, DEAD, *VANISHED), "0 2 4"),
    row("a frozen zero layer", net(T, 20, 64, 64, 5, change=several(
        fill(0.0, 2), frozen(2))), FAIL, (ZERO, *VANISHED), "2"),
    row("copies in series", series_copies(False), WARN, COPIES),
    row("copy by state dict", net(nn.SiLU, 20, 48, 48, 48, 5, change=by_state_dict), WARN, COPIES),
    row("ensemble of copies", towers(3, copied=True), FAIL, TWINS),
    *(row(f"doubt one zero layer before {name}", net(act, 20, 32, 32, 5, change=fill(0.0, 2)), MILD)
      for name, act in (("GELU", nn.GELU), ("SiLU", nn.SiLU), ("LeakyReLU", LEAKY),
                        ("SELU", nn.SELU))),
    *(row(f"doubt first layer of .05, {width} units of {act.__name__}", net(act, 20, width, 1,
          data=lines(), change=fill(0.05, 0)), MILD)
      for act, width in ((R, 128), (T, 128), (R, 512), (nn.GELU, 32))),
    *(row(f"doubt first layer of .05, {width} units, one logit", net(act, 20, width, 1,
          data=yes_no(), loss_fn=nn.BCEWithLogitsLoss(), change=fill(0.05, 0)), MILD)
      for act, width in ((R, 64), (nn.SiLU, 256))),
    row("doubt equal pairs, drawn readers", net(T, 20, 32, 16, 5, change=twins), MILD),
    row("doubt constant weights, drawn biases", net(T, 20, 32, 32, 5, change=at(
        2, do=same_weights(0.05))), MILD),
    row("doubt difference of two equal networks", towers(2, copied=True, signs=(1, -1)), MILD),
]  # fmt: skip
