"""Recurrent networks in which nothing, or little, is wrong."""

from __future__ import annotations

import torch
from torch import nn

from ..case import MILD, PASS, Start
from .builders import (
    LONG,
    RELU,
    cells,
    chrono,
    constant_gate,
    filled,
    language,
    loop,
    mirrored,
    orthogonal,
    packed,
    reader,
    recurrent_weight,
    row,
    taught,
)
from .data import pulse, series
from .modules import Minimal

CASES = [
    row("constant LSTM under a drawn head", reader("LSTM", filled(0.05)), MILD),
    row("constant input matrix", reader("RNN", filled(0.05, key="weight_ih")), MILD),
    row("constant output gate", reader("LSTM", constant_gate(3)), MILD),
    row("zero GRU cell under a drawn head", loop("GRUCell", cells(0.0)), MILD),
    row("zero embedding", language(embedding=0.0), MILD),
    row("first step kept by an orthogonal matrix", reader("RNN", recurrent_weight(orthogonal(1)),
        data=pulse), PASS),
    row("mirrored directions", reader("LSTM", mirrored, bidirectional=True), MILD),
    row("tied N(0, .1²)", language(tied=True), PASS),
    row("language model", language(), PASS),
    row("translator", taught(), PASS),
    row("packed with a zero first state", packed, PASS),
    row("chrono biases", reader("LSTM", chrono, **LONG), PASS),
    row("orthogonal LSTM", reader("LSTM", recurrent_weight(nn.init.orthogonal_)), PASS),
    row("identity ReLU over 80 steps", reader("RNN", recurrent_weight(nn.init.eye_), **LONG,
        **RELU), PASS),
    row("default over 80 steps", reader("RNN", **LONG), PASS),
    row("four layers both ways", reader("LSTM", layers=3, bidirectional=True, proj_size=8,
        dropout=0.2), PASS),
    row("bare parameters", lambda: Start(Minimal(), series()), PASS),
    row("sequences of one step", reader("LSTM", data=lambda: series(1)), PASS),
    row("float64", reader("LSTM", dtype=torch.float64, layers=2), PASS),
    row("bfloat16", reader("GRU", dtype=torch.bfloat16), PASS),
]  # fmt: skip
