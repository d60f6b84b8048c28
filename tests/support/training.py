"""A small experiment that trains in milliseconds, for the tests of training."""

import dataclasses

import torch
from torch import nn

from pytest_initcheck import Experiment


def points(n=60, classes=3, dtype=torch.float32):
    """Points in the plane in clusters, one for each class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(n) % classes
    angles = labels * (6.28 / classes)
    centres = torch.stack([angles.cos(), angles.sin()], 1) * 3
    return (centres + torch.randn(n, 2, generator=generator)).to(dtype), labels


def small():
    """2-8-3 with tanh."""
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 3))


def sgd(params):
    """Plain gradient descent."""
    return torch.optim.SGD(params, lr=0.1)


BASE = Experiment(model=small, data=points(), optimizer=sgd, epochs=3, batch_size=16)


def experiment(**changes):
    """The small experiment with some fields changed."""
    return dataclasses.replace(BASE, **changes)


class Running(nn.Module):
    """A loss that holds a state, which every step changes."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def forward(self, outputs, targets):
        loss = nn.functional.cross_entropy(outputs, targets)
        self.mean.lerp_(loss.detach(), 0.1)
        return loss + self.mean
