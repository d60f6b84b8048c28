"""Models of a given size, and optimisers with the rates of a parametrisation."""

import itertools

import torch
from torch import nn

BASE = 32
CLASSES, INPUTS = 4, 8


def batch(rows=16):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(rows, INPUTS, generator=generator)
    return x, torch.randint(0, CLASSES, (rows,), generator=generator)


def mlp(width, hidden=2, act=nn.ReLU):
    """He's weights, no biases: the standard parametrisation."""
    sizes = [INPUTS, *[width] * (hidden + 1), CLASSES]
    pairs = itertools.pairwise(sizes)
    layers = [part for pair in pairs for part in (nn.Linear(*pair, bias=False), act())][:-1]
    for layer in layers[::2]:
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu" if act is nn.ReLU else "linear")
    return nn.Sequential(*layers)


def mup_mlp(width, **options):
    """The same with a readout in proportion to 1/width."""
    model = mlp(width, **options)
    nn.init.normal_(model[-1].weight, std=BASE**0.5 / width)
    return model


def mup_adam(model, lr=1e-3):
    """Rates in proportion to 1/fan_in for all but the first layer."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    scale = BASE / layers[1].in_features
    groups = [{"params": [layers[0].weight], "lr": lr}]
    groups += [{"params": [layer.weight], "lr": lr * scale} for layer in layers[1:]]
    return torch.optim.Adam(groups)


def mup_sgd(model, lr=0.1):
    """Rates in proportion to the width at the input, to 1/width at the output."""
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    scale = BASE / layers[1].in_features
    rates = [lr / scale, *[lr] * (len(layers) - 2), lr * scale]
    weights = [layer.weight for layer in layers]
    pairs = zip(weights, rates, strict=True)
    return torch.optim.SGD([{"params": [weight], "lr": rate} for weight, rate in pairs])


def adam(params):
    return torch.optim.Adam(params, lr=1e-3)
