"""Recurrent networks that learn nothing, or little."""

from __future__ import annotations

import math

from torch import nn

from ..case import BAD, FAIL, WARN, Start
from ..causes import (
    BAD_WEIGHTS,
    BLOWN,
    COPIES,
    DEAD,
    EXPLODING,
    FLAT,
    INPUTS,
    LARGE,
    LOCKED,
    LOSS,
    MEMORY,
    NONFINITE,
    ONE_SOFTMAX,
    SILENT,
    STILL,
    SUM,
    TWINS,
    VANISHED,
    ZERO,
)
from ..changes import poke
from ..nets import sgd, summed
from .builders import (
    LONG,
    RELU,
    added,
    cells,
    filled,
    gate,
    language,
    loop,
    orthogonal,
    reader,
    recurrent_weight,
    row,
    taught,
)
from .data import pulse, series
from .modules import Minimal

CASES = [
    row("bidirectional GRU of .05", reader("GRU", filled(0.05, head=True), bidirectional=True),
        FAIL, LOCKED, "body"),
    row("LSTM with two constant layers", reader("LSTM", filled(0.05), layers=2), FAIL, LOCKED,
        "body"),
    row("projected LSTM of .05", reader("LSTM", filled(0.05, head=True), proj_size=8), FAIL, LOCKED,
        "body"),
    row("GRU cells of .1", loop("GRUCell", cells(0.1, head=True)), FAIL, LOCKED, "cells.0"),
    row("upper cells and head of .1", loop("RNNCell", cells(0.1, head=True, only=slice(1, 2)),
        layers=2), FAIL, LOCKED, "cells.1"),
    row("two LSTM cells of zeros", loop("LSTMCell", cells(0.0), layers=2), FAIL, ZERO,
        "cells.0 cells.1"),
    row("bare parameters of .1", lambda: Start(Minimal(0.1), series()), FAIL, LOCKED),
    row("zero embedding and zero input matrix", language(embedding=0.0, enter=0.0), FAIL, ZERO,
        "embedding body"),
    row("tanh with orthogonal gain 20", reader("RNN", recurrent_weight(orthogonal(20)), **LONG),
        FAIL, (FLAT, EXPLODING), "body"),
    row("ReLU with orthogonal gain 3 over 80 steps", reader("RNN", recurrent_weight(orthogonal(3)),
        **LONG, **RELU), FAIL, (*LARGE, *NONFINITE), "body head"),
    row("ReLU that overflows over 200 steps", reader("RNN", recurrent_weight(orthogonal(5)),
        data=lambda: series(200), **RELU), FAIL, NONFINITE, "body"),
    row("first step forgotten by a small matrix", reader("RNN",
        recurrent_weight(lambda w: nn.init.normal_(w, 0, 0.03)), data=pulse), FAIL, VANISHED,
        "body head"),
    row("first step forgotten by a shut forget gate", reader("LSTM", gate(1, -8.0), data=pulse),
        FAIL, (*VANISHED, FLAT), "body head"),
    row("shut output gate", reader("LSTM", gate(3, -25.0)), FAIL, (FLAT, *VANISHED), "body head"),
    row("update gate that keeps the zero state", reader("GRU", gate(1, 25.0)), FAIL,
        (FLAT, *VANISHED), "body head"),
    row("dead ReLU", reader("RNN", gate(0, -20.0), **RELU), FAIL, DEAD, "body"),
    row("dead ReLU cell", loop("RNNCell", lambda m: m.cells[0].bias_ih.fill_(-20.0), **RELU), FAIL,
        DEAD, "cells.0"),
    row("biases N(0, 40²)", reader("RNN", lambda m: nn.init.normal_(m.body.bias_ih_l0, 0, 40)),
        FAIL, FLAT, "body"),
    row("saturated upper cell", loop("GRUCell", lambda m: nn.init.normal_(m.cells[1].weight_ih, 0,
        40), layers=2), BAD, FLAT, "cells.1"),
    row("inputs times 500", reader("RNN", scale=500.0), FAIL, INPUTS, "body"),
    row("inputs about 2000", reader("GRU", shift=2000.0), FAIL, INPUTS, "body"),
    row("inputs over 10,000", reader("LSTM", scale=1e-4, opt={"optimizer": sgd(0.1)}), FAIL, INPUTS,
        "body"),
    row("NaN in the upper recurrent matrix", reader("LSTM", poke("body.weight_hh_l1", math.nan),
        layers=2), FAIL, BAD_WEIGHTS, "body"),
    row("memory of 1e37 in a ReLU", reader("RNN", poke("body.weight_ih_l0", 1e37), **RELU), FAIL,
        MEMORY, "body head"),
    row("rate 0", reader("GRU", opt={"optimizer": sgd(0.0)}), FAIL, STILL),
    row("rate 200", reader("GRU", opt={"optimizer": sgd(200.0)}), FAIL, BLOWN),
    row("detached cells", loop("GRUCell", layers=2, cut=True), FAIL, SILENT, "cells.0 cells.1"),
    row("softmax over one unit", loop("LSTMCell", softmax=True, binary=True), FAIL, ONE_SOFTMAX),
    row("copied decoder", taught(copied=True), WARN, COPIES, "encoder decoder"),
    row("added copies", added, FAIL, TWINS,
        "towers.0.body towers.1.body towers.0.head towers.1.head"),
    row("summed loss", language({"loss_fn": summed, "optimizer": sgd(1.0)}), FAIL, (SUM, BLOWN)),
    row("tied N(0, 20²)", language(sigma=20.0, tied=True), FAIL, (LOSS, FLAT)),
]  # fmt: skip
