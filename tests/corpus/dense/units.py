"""Feed-forward networks whose units are dead, saturated or cut off."""

from __future__ import annotations

import torch
from torch import nn

from ..case import BAD, FAIL, MILD, Start
from ..causes import CUT, DEAD, FLAT, LOSS, SIGNAL, SILENT, SINGLE, SOME_DEAD, ZERO
from ..changes import at, filled, frozen, negative, several, sunk
from ..nets import Through, adam, classes, constant, digits, drawn, each, he, normal
from .builders import R, S, T, dead_before_norm, most_sunk, net, plain, row, with_norm
from .data import POSITIVE, lines
from .modules import Detached, NoGrad

CASES = [
    *(row(f"bias -40 before {name}", net(act, 20, 32, 32, 5, change=sunk(2, -40.0)), FAIL,
          (DEAD, FLAT), "2 3")
      for name, act in (("GELU", nn.GELU), ("SiLU", nn.SiLU), ("Softplus", nn.Softplus),
                        ("ELU", nn.ELU), ("ReLU6", nn.ReLU6), ("Hardswish", nn.Hardswish),
                        ("sigmoid", S), ("hardsigmoid", nn.Hardsigmoid), ("tanh", T),
                        ("Mish", nn.Mish))),
    *(row(f"bias -40 over 8 units of {name}", net(act, 20, 24, 8, 5, change=sunk(2, -40.0)), FAIL,
          (DEAD, FLAT), "2 3")
      for name, act in (("ELU", nn.ELU), ("Softplus", nn.Softplus), ("SELU", nn.SELU),
                        ("sigmoid", S), ("GELU", nn.GELU))),
    row("bias 40 before ReLU6", net(nn.ReLU6, 20, 32, 32, 5, change=sunk(2, 40.0)), FAIL,
        (DEAD, FLAT), "2 3"),
    row("bias 40 before hardtanh", net(nn.Hardtanh, 20, 32, 32, 5, change=sunk(0, 40.0)), FAIL,
        (DEAD, FLAT), "0 1"),
    row("negative weights on positive inputs", net(R, 20, 64, 64, 5, init=he, data=POSITIVE,
        change=at(0, do=negative)), FAIL, DEAD, "0"),
    row("negative weights in the third layer", net(R, 20, 64, 64, 64, 5, init=he,
        change=at(4, do=negative)), FAIL, DEAD, "4"),
    row("five of six units sunk", net(R, 20, 64, 64, 5, change=most_sunk), BAD, SOME_DEAD, "2"),
    row("biases of -1 over N(0, .01)", net(R, 20, 32, 32, 5, init=normal(0.01, bias=False),
        change=several(sunk(0, -1.0), sunk(2, -1.0))), FAIL, DEAD, "0 2"),
    row("dead ReLU of 8 units", net(R, 20, 8, 5, change=sunk(0, -30.0)), FAIL, DEAD, "0"),
    row("dead last hidden ReLU, Adam", net(R, 20, 32, 32, 5, change=sunk(2, -10.0),
        optimizer=adam(1e-3)), FAIL, DEAD, "2"),
    row("a frozen dead layer", net(R, 20, 64, 64, 5, change=several(
        sunk(0, -40.0), frozen(0))), FAIL, DEAD, "0"),
    row("dead ReLU before a layer norm",
        lambda: Start(dead_before_norm(), classes(20, 5)), FAIL, DEAD, "0"),
    row("dead ReLU before a batch norm", lambda: Start(nn.Sequential(
        dead_before_norm()[0], R(), nn.BatchNorm1d(32), nn.Linear(32, 5)), classes(20, 5)), FAIL,
        DEAD, "0"),
    row("zero layer before ReLU and layer norm", lambda: Start(nn.Sequential(
        *each(nn.Sequential(nn.Linear(20, 32)), constant(0.0)), R(), nn.LayerNorm(32),
        nn.Linear(32, 5)), classes(20, 5)), FAIL, (ZERO, DEAD), "0"),
    row("sigmoid by N(0, 5) on digits", net(S, 784, 100, 100, 10, init=normal(5),
        data=lambda: digits(64)), FAIL, (FLAT, LOSS)),
    row("tanh by uniform ±4", net(T, 20, 64, 64, 5, init=drawn(
        lambda w: nn.init.uniform_(w, -4, 4))), FAIL, (FLAT, LOSS)),
    row("hardsigmoid by N(0, 20)", net(nn.Hardsigmoid, 20, 64, 64, 5, init=normal(20)), FAIL,
        (FLAT, LOSS)),
    *(row(f"zero gain of {name}", with_norm(norm, act, 20, 32, 32, 5, change=change), BAD,
          CUT, where)
      for name, norm, act, change, where in (
          ("a batch norm", nn.BatchNorm1d, R, at(1, do=filled(0, 0.5)), "1"),
          ("a layer norm, GELU", nn.LayerNorm, nn.GELU, at(4, do=filled(0, 1)), "4"),
          ("an RMS norm", nn.RMSNorm, nn.SiLU, at(4, do=lambda m: m.weight.fill_(0)), "4"))),
    row("layer norm over one unit", with_norm(nn.LayerNorm, T, 20, 16, 1, 5), FAIL,
        SINGLE, "4"),
    row("dropout of everything", lambda: Start(nn.Sequential(
        nn.Linear(20, 64), R(), nn.Dropout(1.0), nn.Linear(64, 5)), classes(20, 5)), FAIL,
        (SILENT, SIGNAL)),
    row("body under no_grad", plain(NoGrad), BAD, SILENT, "body.0 body.2"),
    row("body through .data", plain(Detached), FAIL, SILENT, "body.0 body.2"),
    row("rounded output", net(R, 20, 64, 1, last=lambda: Through(torch.round), data=lines()), FAIL,
        SILENT),
    row("sign as activation", net(lambda: Through(torch.sign), 20, 64, 64, 5), BAD, SILENT, "0 2"),
    row("healthy negative weights, leaky", net(lambda: nn.LeakyReLU(0.2), 20, 64, 64, 5,
        data=POSITIVE, change=at(0, do=negative)), MILD),
]  # fmt: skip
