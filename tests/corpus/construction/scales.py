"""Fans of another shape than the layer's, and gains of another nonlinearity."""

from __future__ import annotations

import math

import torch
from torch import nn

from ..case import FAIL, PASS, WARN
from ..causes import FAN_SHAPE, GAIN
from .builders import recorded, row, stack


class Stored(nn.Module):
    """Weights stored (in, out), a wide one and a narrow one in turn."""

    def __init__(self, draw, width=256, depth=1, features=20, kinds=3):
        super().__init__()
        shapes = [(features, width), (width, features)] * depth
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(shape)) for shape in shapes)
        for weight in self.weights:
            draw(weight)
        self.head = nn.Linear(features, kinds)

    def forward(self, x):
        for weight in self.weights:
            x = torch.relu(x @ weight)
        return self.head(x)


def he(weight):
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def as_stored(weight):
    he(weight.T)


def tanh(weight):
    nn.init.xavier_uniform_(weight, gain=nn.init.calculate_gain("tanh"))


def by_hand(axis):
    return lambda weight: nn.init.normal_(weight, std=math.sqrt(2 / weight.shape[axis]))


def stored(draw):
    return recorded(lambda: Stored(draw))


def square(draw, act, depth):
    return recorded(lambda: stack(20, *[32] * depth, 3, draw=draw, act=act))


CASES = [
    row("fan of (in, out)", stored(he), WARN, FAN_SHAPE, "weights"),
    row("fan of (in, out), as stored", stored(as_stored), PASS),
    row("fan of (in, out) by hand", stored(by_hand(1)), WARN, FAN_SHAPE, "weights"),
    row("fan of (in, out) by hand, as stored", stored(by_hand(0)), PASS),
    row("Xavier before ReLU, deep", square(nn.init.xavier_uniform_, nn.ReLU, 40), FAIL, GAIN, "0"),
    row("He before ReLU, deep", square(he, nn.ReLU, 40), PASS),
    row("Xavier before ReLU, shallow", square(nn.init.xavier_uniform_, nn.ReLU, 3), PASS),
    row("tanh's gain before ReLU", square(tanh, nn.ReLU, 4), WARN, GAIN, "0"),
    row("tanh's gain before tanh", square(tanh, nn.Tanh, 4), PASS),
]
