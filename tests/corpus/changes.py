"""Changes of a model that is built: parts filled, sunk, copied or damaged."""

from __future__ import annotations

import torch
from torch import nn

from .nets import constant


def at(*paths, do):
    """A change of the parts at some paths."""

    def change(model):
        for path in paths:
            do(model.get_submodule(str(path)))

    return change


def several(*changes):
    """Some changes in their order."""

    def change(model):
        for one in changes:
            one(model)

    return change


def fill(value, *paths):
    """Weights of one value and zero biases."""
    return at(*paths, do=constant(value))


def filled(weight, bias=0.0):
    """A weight and a bias of one value each."""

    def do(part):
        nn.init.constant_(part.weight, weight)
        if part.bias is not None:
            nn.init.constant_(part.bias, bias)

    return do


def same_weights(value):
    """A weight of one value beside the bias as it is."""
    return lambda part: nn.init.constant_(part.weight, value)


def sunk(path, value=-30.0):
    return at(path, do=lambda part: nn.init.constant_(part.bias, value))


def poke(path, value, count=3):
    """The first entries of a parameter as memory held them."""
    return lambda model: model.get_parameter(path).view(-1)[:count].fill_(value)


def denormal(*paths):
    """Weights as memory held them that is almost all zeros."""

    def do(part):
        part.weight.copy_(torch.rand_like(part.weight) * 1e-41)
        part.bias.zero_()

    return at(*paths, do=do)


def negative(part):
    """Weights of one sign, without bias."""
    part.weight.copy_(-part.weight.abs())
    part.bias.zero_()


def frozen(path):
    return at(path, do=lambda part: part.requires_grad_(False))


def twins(model, index=0):
    """The rows of a layer in equal pairs; what follows reads them as drawn."""
    model[index].weight[1::2] = model[index].weight[::2]
    model[index].bias[1::2] = model[index].bias[::2]
