"""Feed-forward networks in which nothing is wrong: activations, depth, losses, optimisers."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS, Start
from ..changes import at, fill, frozen, sunk
from ..nets import Residual, adam, classes, constant, drawn, he, sgd
from .builders import (
    ACTIVATIONS,
    KL,
    LOG,
    R,
    S,
    T,
    hinge,
    kaiming,
    likelihood,
    net,
    opt,
    orthogonal,
    plain,
    row,
    series_copies,
    siren,
    tied,
    towers,
    with_norm,
)
from .data import labelled, lines, signs, soft, yes_no
from .modules import LowRank, Sine

CASES = [
    *(row(f"healthy {name}", net(act, 20, 48, 48, 5), PASS) for name, act in ACTIVATIONS.items()),
    row("healthy 4 units of tanh", net(T, 6, 4, 4, 3), PASS),
    row("healthy 2048 units", net(R, 20, 2048, 5), PASS),
    row("healthy 30 layers of SELU", net(nn.SELU, 20, *[64] * 30, 5, init=kaiming(kind="linear")),
        PASS),
    row("healthy 40 orthogonal layers of tanh", net(T, 20, *[64] * 40, 5, init=orthogonal(1.0)),
        PASS),
    row("healthy 30 orthogonal layers of ReLU",
        net(R, 20, *[128] * 30, 5, init=orthogonal(2**0.5)), PASS),
    row("healthy linear layers", net(nn.Identity, 20, 64, 64, 64, 5), PASS),
    row("healthy 20 layers with batch norm", with_norm(nn.BatchNorm1d, R, 20, *[64] * 20, 5), PASS),
    row("healthy 12 layers with layer norm, GELU",
        with_norm(nn.LayerNorm, nn.GELU, 20, *[48] * 12, 5), PASS),
    row("healthy 24 residual blocks with norm",
        plain(lambda: Residual(24, functional.gelu, norm=True)), PASS),
    row("healthy 24 residual blocks whose second layer is zero",
        plain(lambda: Residual(24, torch.relu, zero=True)), PASS),
    row("healthy network of sines", siren, PASS),
    row("healthy NLL", net(R, 20, 64, 5, last=LOG, loss_fn=nn.NLLLoss()), PASS),
    row("healthy cross-entropy of log-softmax", net(R, 20, 64, 5, last=LOG), PASS),
    row("healthy KL", net(R, 20, 64, 5, last=LOG, data=soft(labelled()), loss_fn=KL), PASS),
    row("healthy multi-margin", net(R, 20, 64, 5, loss_fn=nn.MultiMarginLoss()), PASS),
    row("healthy hinge", net(T, 20, 64, 1, data=signs(yes_no()), loss_fn=hinge), PASS),
    row("healthy smooth L1", net(nn.SiLU, 20, 64, 1, data=lines(), loss_fn=nn.SmoothL1Loss()),
        PASS),
    row("healthy Huber, SELU", net(nn.SELU, 20, 64, 1, data=lines(), loss_fn=nn.HuberLoss()), PASS),
    row("healthy Gaussian likelihood", net(R, 20, 64, 2, data=lines(), loss_fn=likelihood), PASS),
    row("healthy BCE of a sigmoid",
        net(nn.ELU, 20, 64, 1, last=S, data=yes_no(), loss_fn=nn.BCELoss()), PASS),
    row("healthy softplus rate, Poisson",
        net(R, 20, 64, 1, last=nn.Softplus, loss_fn=nn.PoissonNLLLoss(log_input=False),
            data=lambda: (lambda x: (x, torch.poisson(x[:, :1].exp())))(torch.randn(64, 20))),
        PASS),
    *(row(f"healthy {kind}", net(nn.GELU, 20, 64, 64, 5, optimizer=opt(kind, *rest, **more)), PASS)
      for kind, rest, more in (
          ("AdamW", (1e-3,), {}), ("RMSprop", (1e-3,), {}), ("Adagrad", (1e-2,), {}),
          ("NAdam", (2e-3,), {}), ("LBFGS", (), {"max_iter": 4}), ("Adadelta", (), {}),
          ("Rprop", (), {}), ("SGD", (0.05, 0.9), {"nesterov": True, "weight_decay": 1e-4}))),
    row("healthy SGD .5", net(T, 20, 32, 5, optimizer=sgd(0.5)), PASS),
    row("healthy float64 softplus", net(nn.Softplus, 20, 32, 5, dtype=torch.float64), PASS),
    row("healthy bfloat16 SiLU", net(nn.SiLU, 20, 64, 64, 5, dtype=torch.bfloat16), PASS),
    row("healthy sparse init", net(T, 20, 64, 64, 5, init=drawn(
        lambda w: nn.init.sparse_(w, 0.75, 0.4))), PASS),
    row("healthy tied autoencoder", tied(0.03, optimizer=adam(1e-3)), PASS),
    row("healthy frozen random features",
        net(Sine, 20, 256, 5, change=frozen(0)), PASS),
    row("healthy constant output layer of a wide net", net(R, 20, 512, 5, change=fill(0.02, 2)),
        PASS),
    row("healthy constant logistic regression", net(R, 20, 5, init=constant(0.3)), PASS),
    row("healthy zero linear regression", net(R, 20, 1, init=constant(0.0), data=lines()), PASS),
    row("healthy layer used three times", series_copies(True), PASS),
    row("healthy ensemble", towers(3, copied=False), PASS),
    row("healthy factors, one zero", plain(lambda: LowRank("v")), PASS),
    row("healthy dropout .5",
        lambda: Start(nn.Sequential(nn.Dropout(0.2), nn.Linear(20, 128), R(), nn.Dropout(0.5),
                                    nn.Linear(128, 128), R(), nn.Dropout(0.5), nn.Linear(128, 5)),
                      classes(20, 5, 128)), PASS),
    row("healthy head scaled by 1/width", net(R, 20, 512, 512, 5, change=at(
        4, do=lambda m: m.weight.div_(512**0.5))), PASS),
    row("healthy bias .1", net(R, 20, 64, 64, 5, init=he, change=sunk(0, 0.1)), PASS),
]  # fmt: skip
