"""Feed-forward networks on inputs, targets and outputs that do not fit them."""

from __future__ import annotations

import torch
from torch import nn

from ..case import BAD, FAIL, WARN
from ..causes import (
    BLOWN,
    DEAD,
    INPUTS,
    NONFINITE,
    ONE_SOFTMAX,
    RECTIFIED,
    SILENT,
    SQUASHED,
    TARGETS,
)
from ..changes import sunk
from ..nets import adam, digits, sgd
from .builders import BINARY, SOFT, R, S, T, net, row
from .data import income, labelled, lines, moved, stamp, yes_no

CASES = [
    row("pixels to 255, ELU", net(nn.ELU, 784, 256, 10,
        data=moved(lambda: digits(64), lambda x: 255 * x)), BAD, INPUTS, "0"),
    row("pixels to 255, sigmoid", net(S, 784, 64, 64, 10,
        data=moved(lambda: digits(64), lambda x: 255 * x)), BAD, INPUTS, "0"),
    row("a time stamp among the columns", net(R, 20, 64, 5, data=moved(labelled(), stamp)), FAIL,
        INPUTS, "0"),
    row("inputs of 1e-4, tanh", net(T, 20, 64, 64, 5, data=moved(labelled(), lambda x: x * 1e-4)),
        FAIL, INPUTS, "0"),
    row("inputs around 1000", net(R, 20, 64, 5, data=moved(labelled(), lambda x: 1000 + x)), FAIL,
        INPUTS, "0"),
    row("kelvins", net(R, 20, 64, 64, 5, data=moved(labelled(), lambda x: 290 + 3 * x)), BAD,
        INPUTS, "0"),
    row("inputs around 20 with spread .05", net(R, 20, 64, 64, 5, data=moved(
        labelled(), lambda x: 20 + x / 20)), BAD, INPUTS, "0"),
    row("an income among the columns", net(nn.SiLU, 20, 64, 5, data=moved(labelled(), income)),
        FAIL, INPUTS, "0"),
    row("targets times 1e4", net(T, 20, 64, 64, 1, data=lines(scale=1e4), optimizer=adam(1e-3)),
        FAIL, TARGETS),
    row("targets times 1e4, L1", net(R, 20, 64, 1, data=lines(scale=1e4), optimizer=adam(1e-3),
        loss_fn=nn.L1Loss()), FAIL, TARGETS),
    row("targets around 1e5", net(R, 20, 64, 1, data=lambda: (lambda x, y: (x, 1e5 + y))(
        *lines()()), optimizer=adam(1e-3)), FAIL, TARGETS),
    row("targets times 50, SGD .1", net(R, 20, 256, 256, 1, data=lines(scale=50.0),
        optimizer=sgd(0.1)), FAIL, (BLOWN, TARGETS, *NONFINITE)),
    row("softmax over one unit, MSE", net(T, 6, 300, 1, last=SOFT, data=yes_no(6)), FAIL,
        ONE_SOFTMAX),
    row("cross-entropy over one unit", net(R, 20, 64, 1, loss_fn=nn.CrossEntropyLoss(),
        data=lambda: (torch.randn(64, 20), torch.zeros(64).long())), FAIL, (ONE_SOFTMAX, SILENT)),
    row("output ReLU, dead", net(R, 20, 64, 1, last=R, data=lines(), change=sunk(2, -9.0)), FAIL,
        (DEAD, RECTIFIED), "2 3"),
    row("output ReLU, alive", net(T, 20, 64, 1, last=R, data=lambda: (
        torch.randn(64, 20), torch.rand(64, 1)), change=sunk(2, 0.8)), WARN, RECTIFIED),
    row("output ReLU under cross-entropy", net(T, 20, 64, 5, last=R, change=sunk(2, 0.5)), WARN,
        RECTIFIED),
    row("softmax before cross-entropy", net(R, 20, 64, 64, 5, last=SOFT), FAIL,
        SQUASHED),
    row("sigmoid before BCE with logits",
        net(R, 20, 64, 64, 1, last=S, data=yes_no(), loss_fn=BINARY), FAIL,
        SQUASHED),
]  # fmt: skip
