"""Small networks, initialisers and data that the cases are built from."""

from __future__ import annotations

import functools
import itertools

import torch
from torch import nn

from pytest_initcheck.data.mnist import load_mnist


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
    return [m for m in model.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d))]


def each(model, initialise):
    """The model after ``initialise`` of each of its linear and convolutional layers."""
    for layer in layers(model):
        initialise(layer)
    return model


def zero_bias(layer):
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def he(layer):
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    zero_bias(layer)


def he_uniform(layer):
    nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    zero_bias(layer)


def glorot(layer):
    nn.init.xavier_uniform_(layer.weight)
    zero_bias(layer)


def constant(value):
    """Weights of one value, zero bias."""

    def initialise(layer):
        nn.init.constant_(layer.weight, value)
        zero_bias(layer)

    return initialise


def normal(sigma, *, bias=True):
    """Weights, and biases on request, drawn from N(0, sigma²)."""

    def initialise(layer):
        nn.init.normal_(layer.weight, 0, sigma)
        if bias:
            nn.init.normal_(layer.bias, 0, sigma)

    return initialise


def uniform(limit):
    """Weights drawn from ±limit, zero bias."""

    def initialise(layer):
        nn.init.uniform_(layer.weight, -limit, limit)
        zero_bias(layer)

    return initialise


def sgd(rate):
    return lambda parameters: torch.optim.SGD(parameters, rate)


def adam(rate):
    return lambda parameters: torch.optim.Adam(parameters, rate)


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
