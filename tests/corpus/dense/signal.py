"""Feed-forward networks whose signal vanishes or explodes, or that hold foreign memory."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, MILD, Start
from ..causes import (
    BAD_WEIGHTS,
    FLAT,
    LARGE,
    LOSS,
    MEMORY,
    NONFINITE,
    PEAKED,
    VANISHED,
)
from ..changes import at, poke
from ..nets import Through, adam, classes, drawn, each, mlp, normal
from .builders import (
    KL,
    LEAKY,
    LOG,
    SOFT,
    R,
    S,
    T,
    garbage,
    hinge,
    kaiming,
    net,
    opt,
    orthogonal,
    row,
    tied,
    with_norm,
)
from .data import labelled, lines, signs, soft, yes_no
from .modules import Gain

CASES = [
    row("eight sigmoid layers of 300", net(S, 20, *[300] * 8, 5), FAIL, VANISHED),
    row("ten tanh layers by N(0, .01)", net(T, 20, *[64] * 10, 5, init=normal(0.01, bias=False)),
        FAIL, VANISHED),
    row("five GELU layers by N(0, .005)", net(nn.GELU, 20, *[64] * 5, 5, init=normal(
        0.005, bias=False)), BAD, VANISHED),
    row("30 SELU layers by default", net(nn.SELU, 20, *[64] * 30, 5), FAIL, VANISHED),
    row("30 LeakyReLU layers by default", net(LEAKY, 20, *[100] * 30, 5), FAIL, VANISHED),
    row("50 ReLU layers by gain 1", net(R, 20, *[64] * 50, 5, init=kaiming(kind="linear")), FAIL,
        VANISHED),
    row("Glorot times .01, four layers", net(T, 20, *[32] * 4, 5, init=drawn(
        lambda w: nn.init.xavier_normal_(w, 0.01))), FAIL, VANISHED),
    row("hidden softmax of 256", net(SOFT, 20, 256, 256, 256, 5), FAIL, (*VANISHED, PEAKED)),
    *(row(f"30 ReLU layers by default, {name}", net(R, 20, *[64] * 30, 5, optimizer=optimizer),
          FAIL, VANISHED)
      for name, optimizer in (("Adam 1e-3", adam(1e-3)), ("Adam 1e-2", adam(1e-2)),
                              ("RMSprop 1e-2", opt("RMSprop", 1e-2)))),
    row("nine sigmoid layers, Adam 1e-2", net(S, 20, *[64] * 9, 5, optimizer=adam(1e-2)), FAIL,
        VANISHED),
    row("30 ReLU layers by default, batch norm at the end", lambda: Start(nn.Sequential(
        *mlp(R, 20, *[64] * 30, 64), nn.BatchNorm1d(64), nn.Linear(64, 5)), classes(20, 5)), FAIL,
        VANISHED),
    row("vanished signal before a layer norm", lambda: Start(nn.Sequential(
        *mlp(S, 20, *[32] * 10, 32), nn.LayerNorm(32), nn.Linear(32, 5)), classes(20, 5)), FAIL,
        VANISHED),
    row("ten layers by N(0, 1)", net(R, 20, *[256] * 10, 5, init=normal(1)), FAIL,
        (*LARGE, *NONFINITE)),
    row("He times 3, ten layers", net(R, 20, *[64] * 10, 5, init=drawn(
        lambda w: nn.init.kaiming_normal_(w).data.mul_(3))), FAIL, LARGE),
    row("orthogonal times 4, linear", net(nn.Identity, 20, *[64] * 6, 5, init=orthogonal(4.0)),
        FAIL, LARGE),
    row("uniform from 0 to 1", net(R, 20, 64, 64, 5, init=drawn(
        lambda w: nn.init.uniform_(w))), FAIL, LARGE),
    row("output bias N(0, 100)", net(R, 20, 64, 5, change=at(
        2, do=lambda m: nn.init.normal_(m.bias, 0, 100))), FAIL, LOSS, "2"),
    row("tied autoencoder N(0, 1)", tied(1.0, optimizer=adam(1e-3)), FAIL, (LOSS, FLAT)),
    row("N(0, 1) before batch norms", with_norm(nn.BatchNorm1d, R, 20, 64, 64, 5, change=lambda m: (
        nn.init.normal_(m[0].weight), nn.init.normal_(m[3].weight))), MILD),
    row("learned output scale over N(0, 1)",
        lambda: Start(nn.Sequential(*each(mlp(R, 20, 256, 256, 5), normal(1)), Gain(1.0)),
                      classes(20, 5)), FAIL, LARGE),
    row("sigmoid and BCE over N(0, 1)", net(R, 20, 256, 256, 1, last=S, init=normal(1),
        data=yes_no(), loss_fn=nn.BCELoss()), FAIL, (*LARGE, FLAT)),
    row("weighted positives over N(0, 1)", net(R, 20, 256, 256, 1, init=normal(1), data=yes_no(),
        loss_fn=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(5.0))), FAIL, LARGE),
    row("smoothed labels over N(0, 1)", net(T, 20, 256, 256, 5, init=normal(1),
        loss_fn=nn.CrossEntropyLoss(label_smoothing=0.1)), FAIL, (LOSS, FLAT)),
    row("NLL over N(0, 1)", net(nn.SiLU, 20, 256, 256, 5, init=normal(1), last=LOG,
        loss_fn=nn.NLLLoss()), FAIL, LARGE),
    row("KL over N(0, 1)", net(R, 20, 256, 256, 5, init=normal(1), last=LOG, loss_fn=KL,
        data=soft(labelled())), FAIL, LARGE),
    row("L1 over N(0, 1)", net(R, 20, 256, 256, 1, init=normal(1), data=lines(),
        loss_fn=nn.L1Loss()), FAIL, LARGE),
    row("Huber over N(0, 1)", net(R, 20, 256, 256, 1, init=normal(1), data=lines(),
        loss_fn=nn.HuberLoss()), FAIL, LARGE),
    row("hinge over N(0, 1)", net(R, 20, 256, 256, 1, init=normal(1), data=signs(yes_no()),
        loss_fn=hinge), FAIL, LARGE),
    row("multi-margin over N(0, 1)", net(R, 20, 256, 256, 5, init=normal(1),
        loss_fn=nn.MultiMarginLoss()), FAIL, LARGE),
    row("loss in forward over N(0, 1)", net(R, 20, 256, 256, 5, init=normal(1),
        forward=lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1])), FAIL,
        LARGE),
    *(row(f"memory: {name}", net(R, 20, 32, 32, 5, change=change), FAIL, causes, where)
      for name, change, causes, where in (
          ("NaN in a bias", poke("0.bias", math.nan, 1), BAD_WEIGHTS, "0"),
          ("infinity in the head", poke("4.weight", math.inf, 2), BAD_WEIGHTS, "4"),
          ("1e30 in the first layer", poke("0.weight", 1e30, 3),
           MEMORY, "0"),
          ("1e37 in a bias", poke("2.bias", 1e37, 1), MEMORY, "2"),
          ("random bits", garbage, (MEMORY, BAD_WEIGHTS), "2"))),
    row("memory: denormals, sigmoid", net(S, 20, 32, 32, 5, init=drawn(
        lambda w: w.data.uniform_(0, 1e-40))), FAIL, MEMORY),
    row("logarithm of a ReLU", net(R, 20, 64, 5, last=lambda: Through(
        lambda x: x.relu().log())), FAIL, NONFINITE),
]  # fmt: skip
