"""Feed-forward networks that are more than a chain of layers."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from ..nets import constant, each, mlp


class Sine(nn.Module):
    def __init__(self, frequency=1.0):
        super().__init__()
        self.frequency = frequency

    def forward(self, x):
        return torch.sin(self.frequency * x)


class TiedCoder(nn.Module):
    """An autoencoder whose decoder is the transposed encoder."""

    def __init__(self, sigma):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(64, 784) * sigma)
        self.bias, self.back = (
            nn.Parameter(torch.zeros(64)),
            nn.Parameter(torch.zeros(784)),
        )

    def forward(self, x):
        h = torch.sigmoid(functional.linear(x, self.weight, self.bias))
        return functional.linear(h, self.weight.T, self.back)


class NoGrad(nn.Module):
    """A body that runs under no_grad although it is to be trained; a frozen one looks the same."""

    def __init__(self):
        super().__init__()
        self.body, self.head = mlp(nn.ReLU, 20, 32, 32), nn.Linear(32, 5)

    def forward(self, x):
        with torch.no_grad():
            h = self.body(x)
        return self.head(torch.relu(h))


class Detached(NoGrad):
    """The same by ``.data``."""

    def forward(self, x):
        return self.head(torch.relu(self.body(x).data))


class Target(nn.Module):
    """A network that is to follow a frozen, moved copy of itself."""

    def __init__(self):
        super().__init__()
        self.online, self.guess = mlp(nn.ReLU, 20, 32, 8), mlp(nn.ReLU, 8, 32, 8)
        self.target = copy.deepcopy(self.online).requires_grad_(False)

    def forward(self, x):
        return self.guess(self.online(x)), self.target(x + 0.1)


class Gain(nn.Module):
    """A learned factor on all outputs."""

    def __init__(self, value):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(value))

    def forward(self, x):
        return self.gain * x


class LowRank(nn.Module):
    """A hidden layer as a product of factors, of which ``zeros`` are zero."""

    def __init__(self, zeros):
        super().__init__()
        self.stem, self.u, self.v = nn.Linear(20, 32), nn.Linear(32, 6), nn.Linear(6, 32)
        self.head = nn.Linear(32, 5)
        for name in zeros:
            constant(0.0)(getattr(self, name))

    def forward(self, x):
        return self.head(torch.tanh(self.v(self.u(torch.tanh(self.stem(x))))))


class Product(nn.Module):
    """A product of two zero layers on the only path."""

    def __init__(self):
        super().__init__()
        self.stem, self.gate, self.value = nn.Linear(20, 32), nn.Linear(32, 32), nn.Linear(32, 32)
        self.head = nn.Linear(32, 5)
        each(nn.ModuleList([self.gate, self.value]), constant(0.0))

    def forward(self, x):
        h = torch.relu(self.stem(x))
        return self.head(self.gate(h) * self.value(h))


class Rescaled(nn.Module):
    """Raw inputs and targets that the model itself brings to unit scale."""

    def __init__(self):
        super().__init__()
        self.body = mlp(nn.ReLU, 10, 32, 32, 1)

    def forward(self, x):
        return 2300 + 1000 * self.body((x - 1000) / 600)


class Scaler(nn.Module):
    """Division of pixels in the model."""

    def forward(self, x):
        return x / 255
