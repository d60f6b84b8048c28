"""Models from parts and a function of them, and their starts."""

from __future__ import annotations

import torch
from torch import nn

from ..case import Start, titled
from ..nets import adam, built, classes, mlp

row = titled("unusual")


class Model(nn.Module):
    """Parts and a function of them and of the inputs."""

    def __init__(self, function, **parts):
        super().__init__()
        for name, part in parts.items():
            is_buffer = isinstance(part, torch.Tensor) and not isinstance(part, nn.Parameter)
            (self.register_buffer if is_buffer else self.__setattr__)(name, part)
        self.function = function

    def forward(self, *inputs, **named):
        return self.function(self, *inputs, **named)


def start(model, batch, loss_fn=None, **opt):
    return Start(model, batch, {"optimizer": adam(3e-3), "loss_fn": loss_fn, **opt})


def made(make, change=None, data=classes, **options):
    """A model after ``change`` on ``data``, by Adam where ``options`` name nothing else."""
    return built(make, change, data, **{"optimizer": adam(3e-3), **options})


def two_layers(between):
    """Two linear layers with a function of the model and the first one's output between them."""
    return lambda: Model(lambda m, x: m.head(between(m, m.body(x))),
                         body=nn.Linear(20, 32), head=nn.Linear(32, 3))  # fmt: skip


def small():
    return mlp(nn.ReLU, 20, 32, 32, 3)
