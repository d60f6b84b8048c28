"""Small networks, initialisers and data that the cases are built from."""

from __future__ import annotations

import copy
import functools
import itertools

import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck.data.mnist import load_mnist

from .case import Start

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


def built(make, change=None, data=None, **options):
    """The start of ``make()`` after ``change`` of it, on ``data()``; by default on classes."""

    def build():
        model = make()
        if change:
            with torch.no_grad():
                change(model)
        return Start(model, (data or classes)(), options)

    return build


def mlp(act, *sizes, last=None):
    """Linear layers with an activation between them: "0", "2", "4", …; ``last`` ends the model."""
    parts = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        parts += [nn.Linear(fan_in, fan_out), act()]
    return nn.Sequential(*parts[:-1], *([last] if last else []))


def cnn(act=nn.ReLU, *, channels=(8, 16), dense=128):
    """Two convolutions ("0", "3") and two dense layers ("7", "9") on 28×28 digits."""
    first, second = channels
    return nn.Sequential(
        nn.Conv2d(1, first, 5, padding=2),
        act(),
        nn.MaxPool2d(2),
        nn.Conv2d(first, second, 3, padding=1),
        act(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(49 * second, dense),
        act(),
        nn.Linear(dense, 10),
    )


def layers(model):
    """The linear and convolutional layers in their order."""
    kinds = (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)
    return [m for m in model.modules() if isinstance(m, kinds)]


def each(model, initialise):
    """The model after ``initialise`` of each of its linear and convolutional layers."""
    for layer in layers(model):
        initialise(layer)
    return model


def zero_bias(layer):
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def constant(value):
    """Weights of one value, zero bias."""
    return drawn(lambda weight: nn.init.constant_(weight, value))


def normal(sigma, *, bias=True):
    """Weights, and biases on request, drawn from N(0, sigma²)."""

    def initialise(layer):
        nn.init.normal_(layer.weight, 0, sigma)
        if bias:
            nn.init.normal_(layer.bias, 0, sigma)

    return initialise


def drawn(draw):
    """Weights by a function that draws them in place, zero bias."""

    def initialise(layer):
        draw(layer.weight)
        zero_bias(layer)

    return initialise


def uniform(limit):
    """Weights drawn from ±limit, zero bias."""
    return drawn(lambda weight: nn.init.uniform_(weight, -limit, limit))


he = drawn(lambda weight: nn.init.kaiming_normal_(weight, nonlinearity="relu"))
he_uniform = drawn(lambda weight: nn.init.kaiming_uniform_(weight, nonlinearity="relu"))
glorot = drawn(nn.init.xavier_uniform_)


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, rate)


def adam(rate):
    return lambda parameters: torch.optim.Adam(parameters, rate)


def summed(output, targets):
    """The cross-entropy of sequences, added up where it should be averaged."""
    return functional.cross_entropy(output.flatten(0, 1), targets.flatten(), reduction="sum")


class Reader(nn.Module):
    """A recurrent body and a linear head on its last state."""

    def __init__(self, kind, width=24, layers=1, *, features=12, **options):
        super().__init__()
        self.body = getattr(nn, kind)(features, width, layers, batch_first=True, **options)
        ways = 2 if options.get("bidirectional") else 1
        self.head = nn.Linear((options.get("proj_size") or width) * ways, 3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Through(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Towers(nn.Module):
    """Networks side by side whose outputs are added with ``signs``."""

    def __init__(self, *towers, signs=(1, 1, 1)):
        super().__init__()
        self.towers, self.signs = nn.ModuleList(towers), signs

    def forward(self, x):
        return sum(sign * tower(x) for sign, tower in zip(self.signs, self.towers, strict=False))


def alike(make, count, *, copied=True):
    """``count`` networks, each drawn or all copies of the first."""
    first = make()
    return [first, *(copy.deepcopy(first) if copied else make() for _ in range(count - 1))]


class Residual(nn.Module):
    """Blocks of two layers with a skip; ``zero`` zeroes the second layer of each."""

    def __init__(self, depth, act, *, norm=False, zero=False, width=32, kinds=5):
        super().__init__()
        self.stem, self.head = nn.Linear(20, width), nn.Linear(width, kinds)
        self.norm = nn.ModuleList(
            nn.LayerNorm(width) if norm else nn.Identity() for _ in range(depth)
        )
        self.up = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.act = act
        if zero:
            each(self.down, constant(0.0))

    def forward(self, x):
        h = self.stem(x)
        for norm, up, down in zip(self.norm, self.up, self.down, strict=True):
            h = h + down(self.act(up(norm(h))))
        return self.head(h)


@functools.cache
def _digits():
    digits = load_mnist()
    return torch.as_tensor(digits.train_images).reshape(-1, 784), torch.as_tensor(
        digits.train_labels
    ).long()


def digits(count=32):
    """Random MNIST digits with pixels in [0, 1] as rows of 784, and their classes."""
    pixels, classes = _digits()
    chosen = torch.randperm(len(pixels))[:count]
    return pixels[chosen].clone(), classes[chosen]


def pictures(count=32):
    """The same as pictures of 1×28×28."""
    pixels, classes = digits(count)
    return pixels.reshape(-1, 1, 28, 28), classes


def classes(features=20, kinds=3, count=64):
    """Normal features whose class is the largest of random projections."""
    x = torch.randn(count, features)
    return x, (x @ torch.randn(features, kinds)).argmax(1)


def blobs(count=64):
    """Two features; the class is whether their product is positive."""
    x = torch.randn(count, 2)
    return x, (x[:, 0] * x[:, 1] > 0).long()


def tokens(vocabulary=50, length=10, count=16, kinds=3):
    """Token ids and one class per sequence."""
    return torch.randint(0, vocabulary, (count, length)), torch.randint(0, kinds, (count,))


def sequences(features=20, length=12, count=16, kinds=3):
    """Normal sequences (count, length, features) and one class per sequence."""
    return torch.randn(count, length, features), torch.randint(0, kinds, (count,))


def text(vocabulary, length=12, count=16):
    """Token ids that follow a rule, and the next of each."""
    ids = (torch.randint(0, vocabulary, (count, 1)) + 7 * torch.arange(length + 1)) % vocabulary
    return ids[:, :-1], ids[:, 1:]
