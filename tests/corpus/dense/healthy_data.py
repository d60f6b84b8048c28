"""Feed-forward networks that fit their data, however odd it looks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import MILD, PASS, Start
from ..changes import fill
from ..nets import Through, adam, classes, digits, mlp, sgd
from .builders import BINARY, R, T, net, plain, row, with_norm
from .data import (
    POSITIVE,
    ages,
    constant_columns,
    labelled,
    lines,
    moved,
    one_hot,
    raw_table,
    words,
    yes_no,
)
from .modules import Gain, Rescaled, Scaler, Target

CASES = [
    row("healthy bag of words", net(R, 2000, 64, 2, data=words, optimizer=adam(1e-3)), PASS),
    row("healthy one-hot categories", net(R, 200, 64, 5, data=one_hot, optimizer=adam(1e-2)), PASS),
    row("healthy constant columns",
        net(R, 20, 64, 5, data=moved(labelled(), constant_columns)), PASS),
    row("healthy positive inputs", net(R, 20, 64, 64, 5, data=POSITIVE), PASS),
    row("healthy batch of 4", net(R, 20, 64, 64, 5, data=labelled(count=4)), PASS),
    row("healthy batch of 2, batch norm",
        with_norm(nn.BatchNorm1d, R, 20, 64, 64, 5, data=labelled(count=2)), PASS),
    row("healthy batch of 256", net(nn.Mish, 20, 64, 64, 5, data=labelled(count=256)), PASS),
    row("healthy raw table behind a batch norm",
        lambda: Start(nn.Sequential(nn.BatchNorm1d(10), *mlp(R, 10, 32, 32, 1)),
                      (raw_table()[0], torch.randn(64, 1))), PASS),
    row("healthy pixels divided in the model",
        lambda: Start(nn.Sequential(Scaler(), *mlp(R, 784, 64, 10)),
                      (lambda x, y: (x * 255, y))(*digits(64))), PASS),
    row("healthy raw table scaled in the model",
        plain(Rescaled, raw_table, optimizer=adam(1e-3)), PASS),
    row("healthy raw table scaled in the model, L1",
        plain(Rescaled, raw_table, optimizer=adam(1e-3), loss_fn=nn.L1Loss()), PASS),
    row("healthy rare positives",
        net(R, 20, 64, 1, loss_fn=BINARY, data=lambda: (lambda x: (x, (x[:, :1] > 1.6).float()))(
            torch.randn(128, 20))), PASS),
    row("doubt inputs of scale 5", net(R, 20, 64, 64, 5, data=moved(labelled(), lambda x: 5 * x)),
        MILD),
    row("healthy table with ages", net(R, 20, 64, 64, 5, data=moved(labelled(), ages)), MILD),
    row("healthy seconds as Fourier features", lambda: Start(nn.Sequential(Through(
        lambda t: torch.cat([(t * f).sin() for f in (0.01, 0.02, 0.04, 0.08)], 1)),
        *mlp(T, 4, 64, 64, 1)), (lambda t: (t, (t * 0.03).sin()))(1000 * torch.rand(128, 1))),
        PASS),
    row("healthy logarithm of raw counts", lambda: Start(nn.Sequential(Through(torch.log1p),
        *mlp(R, 20, 64, 5)), moved(labelled(), lambda x: (2 * x).exp().round() * 50)()), PASS),
    row("healthy steep sigmoids", net(lambda: Through(lambda x: torch.sigmoid(4 * x)), 20, 64, 64,
        5), MILD),
    row("healthy tanh on inputs of scale 3", net(T, 20, 64, 64, 5, data=moved(
        labelled(), lambda x: 3 * x)), MILD),
    row("healthy small targets", net(R, 20, 64, 1, data=lines(scale=1e-3), optimizer=adam(1e-3)),
        MILD),
    row("healthy targets of scale 10", net(R, 20, 64, 64, 1, data=lines(scale=10.0),
        optimizer=adam(1e-2)), MILD),
    row("healthy learned output scale", lambda: Start(nn.Sequential(*mlp(R, 20, 64, 5), Gain(1.0)),
        classes(20, 5)), PASS),
    row("healthy weighted positives", net(R, 20, 64, 1, data=yes_no(),
        loss_fn=nn.BCEWithLogitsLoss(pos_weight=torch.tensor(20.0))), PASS),
    row("healthy square root of a ReLU", net(lambda: Through(lambda x: x.relu().sqrt()), 20, 64,
        5), PASS),
    row("healthy copy that is frozen as a target", lambda: Start(Target(), torch.randn(64, 20), {
        "loss_fn": lambda pair: functional.mse_loss(*pair)}), PASS),
    row("healthy zero head, Adam 1e-5", net(R, 20, 64, 64, 64, 5, change=fill(0.0, 6),
        optimizer=adam(1e-5)), PASS),
    row("healthy zero head, SGD 1e-4", net(nn.GELU, 20, 64, 64, 64, 5, change=fill(0.0, 6),
        optimizer=sgd(1e-4)), MILD),
]  # fmt: skip
