"""Starts of feed-forward networks, and changes of their layers."""

from __future__ import annotations

import copy
import itertools
import math

import torch
from torch import nn
from torch.nn import functional

from ..case import Start, titled
from ..changes import twins
from ..nets import Towers, adam, alike, built, classes, digits, drawn, each, layers, mlp
from .data import labelled
from .modules import Sine, TiedCoder

R, T, S = nn.ReLU, nn.Tanh, nn.Sigmoid
LEAKY = lambda: nn.LeakyReLU(0.01)  # noqa: E731
LOG = lambda: nn.LogSoftmax(-1)  # noqa: E731
SOFT = lambda: nn.Softmax(-1)  # noqa: E731
BINARY, TOTAL = nn.BCEWithLogitsLoss(), nn.CrossEntropyLoss(reduction="sum")
KL = nn.KLDivLoss(reduction="batchmean")
ACTIVATIONS = {"ELU": nn.ELU, "SELU": nn.SELU, "GELU": nn.GELU, "SiLU": nn.SiLU, "Mish": nn.Mish,
        "Softplus": nn.Softplus, "PReLU": nn.PReLU, "LeakyReLU": LEAKY, "ReLU6": nn.ReLU6,
        "Hardswish": nn.Hardswish, "Softsign": nn.Softsign, "sine": Sine}  # fmt: skip
row = titled("dense")


def net(act, *sizes, init=None, data=None, last=None, change=None, dtype=None, **options):
    """An MLP: ``init`` of each layer, then ``change`` of the model."""

    def make():
        model = mlp(act, *sizes, last=last() if last else None)
        return each(model, init) if init else model

    batch = data or labelled(sizes[0], sizes[-1])
    if dtype is None:
        return built(make, change, batch, **options)

    def cast():
        x, y = batch()
        return x.to(dtype), y.to(dtype) if y.is_floating_point() else y

    return built(lambda: make().to(dtype), change, cast, **options)


def with_norm(norm, act, *sizes, change=None, data=None, **options):
    """An MLP with a normalisation before each activation: "0", "1" (norm), "2", "3", "4" …"""

    def make():
        parts = []
        for fan_in, fan_out in itertools.pairwise(sizes[:-1]):
            parts += [nn.Linear(fan_in, fan_out), norm(fan_out), act()]
        return nn.Sequential(*parts, nn.Linear(sizes[-2], sizes[-1]))

    return built(make, change, data or labelled(sizes[0], sizes[-1]), **options)


def plain(make, data=None, **options):
    return built(make, None, data or labelled(), **options)


def towers(count, *, copied, signs=(1, 1, 1)):
    """Networks whose outputs are added with ``signs``."""

    def make():
        return Towers(*alike(lambda: mlp(nn.Tanh, 20, 24, 5), count, copied=copied), signs=signs)

    return plain(make)


def tied(sigma, **options):
    def build():
        x, _ = digits(64)
        return Start(TiedCoder(sigma), (x, x), options)

    return build


def siren():
    """A network of sines with w0 = 30 on coordinates."""
    model = mlp(lambda: Sine(30.0), 2, 64, 64, 64, 1)
    for i, layer in enumerate(layers(model)):
        limit = 0.5 if i == 0 else math.sqrt(6 / 64) / 30
        nn.init.uniform_(layer.weight, -limit, limit)
    x = 2 * torch.rand(256, 2) - 1
    return Start(model, (x, torch.sin(9 * x[:, :1]) * x[:, 1:]), {"optimizer": adam(1e-4)})


def series_copies(share):
    """Three equal hidden layers: as copies, or as one layer used three times."""

    def build():
        layer = nn.Linear(32, 32)
        inner = [layer if share else copy.deepcopy(layer) for _ in range(3)]
        parts = [part for one in inner for part in (one, nn.Tanh())]
        model = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), *parts, nn.Linear(32, 5))
        return Start(model, classes(20, 5))

    return build


def dead_before_norm():
    """Norms after the activations, of which the first is dead."""
    parts = []
    for fan_in in (20, 32, 32):
        parts += [nn.Linear(fan_in, 32), nn.ReLU(), nn.LayerNorm(32)]
    nn.init.constant_(parts[0].bias, -30)
    return nn.Sequential(*parts, nn.Linear(32, 5))


def kaiming(mode="fan_in", kind="relu"):
    return drawn(lambda w: nn.init.kaiming_normal_(w, mode=mode, nonlinearity=kind))


def orthogonal(gain):
    return drawn(lambda w: nn.init.orthogonal_(w, gain))


def thirds(layer):
    """Three different rows, repeated; equal weights for what reads them."""
    width = layer.weight.shape[0] // 3 * 3
    with torch.no_grad():
        layer.weight.fill_(0.1)
        layer.weight[:width] *= torch.tensor([0.5, 1.0, 1.5]).repeat(width // 3)[:, None]
    nn.init.zeros_(layer.bias)


def garbage(model):
    """Random bits read as numbers, as memory that was never written."""
    bits = torch.randint(-(2**31), 2**31 - 1, model[2].weight.shape, dtype=torch.int64)
    model[2].weight.copy_(bits.to(torch.int32).view(torch.float32))


def most_sunk(model):
    model[2].bias[:54] = -20


def doubled(model):
    """Equal rows that the next layer also weighs equally."""
    twins(model)
    model[2].weight[:, 1::2] = model[2].weight[:, ::2]


def by_state_dict(model):
    model[4].load_state_dict(model[2].state_dict())


def foreign(rate=0.1):
    """An optimiser over the parameters of another model."""
    other = nn.Linear(3, 3)
    return lambda parameters: torch.optim.SGD(other.parameters(), rate)


def head_only(parameters):
    return torch.optim.Adam(list(parameters)[-2:], 1e-2)


def opt(kind, *rest, **options):
    return lambda parameters: getattr(torch.optim, kind)(parameters, *rest, **options)


def likelihood(output, y):
    """A Gaussian log-likelihood without its constant, which falls below zero."""
    return (output[:, 1:] + (y - output[:, :1]).square() / 2 * torch.exp(-2 * output[:, 1:])).mean()


def hinge(output, y):
    return functional.relu(1 - output * y).mean()
