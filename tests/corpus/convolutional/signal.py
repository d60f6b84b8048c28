"""Convolutional networks whose signal, data or steps are far too small or too large."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..case import BAD, FAIL, WARN, Start
from ..causes import (
    BAD_WEIGHTS,
    BLOWN,
    FAN,
    INPUTS,
    LARGE,
    LEFT,
    MEMORY,
    NONFINITE,
    ONE_SOFTMAX,
    PEAKED,
    SILENT,
    STILL,
    SUM,
    TARGETS,
    VANISHED,
)
from ..changes import poke
from ..nets import adam, drawn, each, normal, sgd, uniform
from .builders import LEAKY, R, S, T, body_free, coder, digits, net, row, segments, separable
from .data import colours, raw, waves
from .modules import ThroughNumpy

CASES = [
    row("1d ReLU by N(0, 1)", net(1, R, 6, init=normal(1)), FAIL, LARGE),
    row("3d ELU by N(0, 1)", net(3, nn.ELU, 4, init=normal(1)), FAIL, LARGE),
    row("uniform from 0 to 1", net(2, R, 3, init=drawn(lambda w: nn.init.uniform_(w))), FAIL,
        LARGE),
    row("fan-out with stride in a funnel", lambda: Start(nn.Sequential(
        *each(nn.Sequential(nn.Conv2d(3, 512, 3, padding=1), R(), nn.Conv2d(512, 8, 3), R(),
                            nn.Flatten(), nn.Linear(8 * 196, 3)),
              drawn(lambda w: nn.init.kaiming_normal_(w, mode="fan_out")))), colours()), BAD,
        LARGE),
    row("1d kernels by N(0, .003)", net(1, R, 5, init=normal(0.003, bias=False)), BAD, VANISHED),
    row("3d kernels by uniform ±.002", net(3, T, 4, init=uniform(0.002)), BAD, VANISHED),
    row("ten sigmoid convolutions", net(2, S, 10), FAIL, VANISHED),
    row("20 ReLU convolutions by default", net(2, R, 20), BAD, VANISHED),
    row("25 LeakyReLU convolutions, 1d, by default", net(1, LEAKY, 25), BAD, VANISHED),
    row("softmax over channels, five times", net(2, lambda: nn.Softmax(1), 5), FAIL,
        (*VANISHED, PEAKED)),
    *(row(f"memory: {name}", net(dims, act, 3, change=change), FAIL, causes, where)
      for name, dims, act, change, causes, where in (
          ("NaN kernel", 3, R, poke("2.weight", math.nan, 9), BAD_WEIGHTS, "2"),
          ("NaN bias", 1, T, poke("0.bias", math.nan, 1), BAD_WEIGHTS, "0"),
          ("-infinity", 2, nn.GELU, poke("4.weight", -math.inf, 1), BAD_WEIGHTS, "4"),
          ("1e37 kernel", 2, R, poke("0.weight", 1e37, 9), MEMORY, "0"))),
    row("memory: all denormal, GELU", net(2, nn.GELU, 3, init=drawn(
        lambda w: w.data.uniform_(0, 1e-40))), FAIL, MEMORY),
    *(row(f"{dims}d depthwise by fan-out", separable(dims, width=64, init=lambda w:
          nn.init.kaiming_normal_(w, mode="fan_out")), WARN, FAN, "deep.0 deep.1")
      for dims in (1, 3)),
    *(row(f"depthwise by fan-out, gain of {kind}", separable(2, width=32, init=lambda w, kind=kind:
          nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity=kind)), BAD, FAN,
          "deep.0 deep.1", missed, (2,))
      for kind, missed in (("linear", ""), ("tanh", ""), (
          "selu", "the vanishing gradient is an error, which no warning is told to explain"))),
    row("1d signal times 1000", net(1, R, 3, scale=lambda x: 1000 * x), FAIL, INPUTS, "0"),
    row("3d volume times .001", net(3, nn.SiLU, 3, scale=lambda x: x / 1000), FAIL, INPUTS, "0"),
    row("raw pixels, GELU", net(2, nn.GELU, 3, scale=raw), BAD, INPUTS, "0"),
    row("raw pixels, tanh, digits", digits(scale=255.0, act=T), BAD, INPUTS, "0"),
    row("pixels divided twice, SiLU", digits(scale=1 / 255, act=nn.SiLU), FAIL, INPUTS, "0"),
    row("autoencoder of targets times 5000", coder(torch.relu, data=lambda x: 5000 * x,
        optimizer=adam(1e-3)), FAIL, TARGETS),
    row("softmax over one channel", segments(1, nn.Softmax(1), loss_fn=nn.BCELoss()), FAIL,
        ONE_SOFTMAX),
    row("softmax over one channel, 1d", lambda: Start(nn.Sequential(
        nn.Conv1d(2, 8, 3, padding=1), R(), nn.Conv1d(8, 1, 1), nn.Softmax(1)),
        (lambda x: (x, (x[:, :1] > 0).float()))(waves()[0]), {"loss_fn": nn.BCELoss()}), FAIL,
        ONE_SOFTMAX),
    row("coder read through numpy", lambda: Start(ThroughNumpy(), waves()), FAIL, SILENT,
        "code.0 code.2 code.6"),
    row("hard mask", segments(1, lambda x: (x > 0).float() + 0 * x, loss_fn=nn.MSELoss()), FAIL,
        SILENT),
    row("rate 0", net(2, R, 3, optimizer=sgd(0.0)), FAIL, (STILL, LEFT)),
    row("convolutions left out of the optimiser", net(2, R, 3, optimizer=body_free), BAD, LEFT,
        "0"),
    row("SGD 30", digits(optimizer=sgd(30.0)), FAIL, (BLOWN, *NONFINITE)),
    row("Adam 3 on volumes", net(3, R, 3, optimizer=adam(3.0)), FAIL, BLOWN, missed_seeds=(4,),
        missed="the loss comes back from 1e8 to that of chance, where it stays"),
    row("sum over pixels, SGD .05", segments(3, optimizer=sgd(0.05), loss_fn=nn.CrossEntropyLoss(
        reduction="sum")), FAIL, (SUM, BLOWN, *NONFINITE)),
]  # fmt: skip
