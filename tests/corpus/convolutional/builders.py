"""Starts of convolutional networks, and changes of their layers."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import nn
from torch.nn import functional

from ..case import Start, titled
from ..nets import (
    CONVOLUTIONS,
    TRANSPOSED,
    Towers,
    adam,
    alike,
    built,
    cnn,
    constant,
    each,
    layers,
    pictures,
)
from .data import DATA, ENDS, colours
from .modules import Bilinear, Blocks, Coder, Labels, Separable, Upscaler, stack

R, T, S = nn.ReLU, nn.Tanh, nn.Sigmoid
LEAKY = lambda: nn.LeakyReLU(0.2)  # noqa: E731
row = titled("conv")


def net(dims, act, depth, *, init=None, change=None, scale=None, **options):
    """A stack on the data of its kind."""
    inner = {key: options.pop(key) for key in ("width", "norm", "bias", "head") if key in options}

    def make():
        model = stack(dims, act, depth, **inner)
        return each(model, init) if init else model

    def data():
        x, y = DATA[dims]()
        return (scale(x) if scale else x), y

    return built(make, change, data, **options)


def coder(act, last=None, change=None, data=None, **options):
    def same():
        x = pictures(16)[0]
        return x, data(x) if data else x

    return built(lambda: Coder(act, last), change, same, **options)


def segments(kinds, last=None, change=None, **options):
    """Pixels whose class is that of the local mean; of one class: yes or no as floats."""

    def data():
        x, _ = colours(8)
        smooth = functional.avg_pool2d(x, 3, 1, 1)
        return x, (smooth[:, :1] > 0.1).float() if kinds == 1 else smooth.argmax(1)

    return built(lambda: Labels(kinds, last), change, data, **options)


def ignored():
    start = segments(3)()
    start.batch[1][:, :4] = 255
    return Start(start.model, start.batch, {"loss_fn": nn.CrossEntropyLoss(ignore_index=255)})


def separable(dims, **more):
    return lambda: Start(Separable(dims, **more), DATA[dims]())


def blocks(depth, norm, **more):
    return lambda: Start(Blocks(depth, norm, **more), colours())


def upscaled(**more):
    def build():
        x = pictures(8)[0]
        return Start(Upscaler(**more), (functional.avg_pool2d(x, 2), x))

    return build


def bilinear(**more):
    def build():
        x, _ = colours(8)
        return Start(Bilinear(**more), (x, functional.avg_pool2d(x, 3, 1, 1).argmax(1)))

    return build


def towers(*, copied):
    """Parallel convolutions that are added up."""

    def make():
        parts = alike(lambda: nn.Conv2d(3, 12, 3, padding=1), 3, copied=copied)
        body = Towers(*(nn.Sequential(part, nn.ReLU()) for part in parts))
        return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 3))

    return built(make, data=colours)


def digits(change=None, *, scale=1.0, act=R, init=None, **options):
    """The CNN of all cases on digits."""

    def data():
        x, y = pictures()
        return x * scale, y

    return built(lambda: each(cnn(act), init) if init else cnn(act), change, data, **options)


def generator():
    """A DCGAN generator that is to draw given pictures."""
    parts = []
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise((16, 32, 16, 8))):
        parts += [nn.ConvTranspose2d(fan_in, fan_out, 4, 1 if i == 0 else 2, 0 if i == 0 else 1,
                                     bias=False), nn.BatchNorm2d(fan_out), R()]  # fmt: skip
    model = nn.Sequential(*parts, nn.ConvTranspose2d(8, 1, 4, 2, 3), T())
    for layer in layers(model):
        nn.init.normal_(layer.weight, 0, 0.02)
    for part in model:
        if isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1, 0.02)
    x = torch.randn(16, 16, 1, 1)
    return Start(model, (x, 2 * pictures(16)[0] - 1), {"optimizer": adam(1e-3)})


def critic():
    """A DCGAN discriminator on real pictures and noise."""
    model = nn.Sequential(
        nn.Conv2d(1, 8, 4, 2, 1), LEAKY(), nn.Conv2d(8, 16, 4, 2, 1, bias=False),
        nn.BatchNorm2d(16), LEAKY(), nn.Flatten(), nn.Linear(784, 1),
    )  # fmt: skip
    x = torch.cat([pictures(16)[0], torch.rand(16, 1, 28, 28)])
    y = torch.cat([torch.ones(16, 1), torch.zeros(16, 1)])
    return Start(model, (x, y), {"loss_fn": functional.binary_cross_entropy_with_logits})


def upward(dims):
    """Transposed convolutions of one value between drawn layers."""

    def build():
        up, first = TRANSPOSED[dims - 1], ENDS[dims][0]
        model = nn.Sequential(
            up(6, 8, 2, stride=2),
            T(),
            up(8, 8, 3, padding=1),
            T(),
            CONVOLUTIONS[dims - 1](8, first, 1),
        )
        each(model[:3], constant(0.1))
        x = DATA[dims]()[0]
        small = functional.avg_pool1d(x.flatten(1)[:, None], 2)[:, 0]
        shape = (len(x), 6, *[n // 2 for n in x.shape[2:]])
        code = small[:, :1] * torch.ones(shape).flatten(1) + torch.randn(shape).flatten(1)
        return Start(model, (code.reshape(shape), x))

    return build


def inflated():
    """Kernels of two dimensions repeated along the third, as for video."""
    model = stack(3, R, 2)
    with torch.no_grad():
        for layer in (model[0], model[2]):
            layer.weight.copy_(layer.weight[:, :, :1].expand_as(layer.weight))
    return model


def group(width):
    return nn.GroupNorm(4, width)


def fan_out(model):
    for layer in layers(model)[:-1]:
        nn.init.kaiming_normal_(layer.weight, mode="fan_out")


def equal_kernels(model):
    """All kernels of the first convolution are one, and the second weighs them alike."""
    model[0].weight.copy_(model[0].weight[:1].expand_as(model[0].weight))
    model[0].bias.zero_()
    model[2].weight.copy_(model[2].weight[:, :1].expand_as(model[2].weight))


def repeated(model):
    """The kernels are repeated three times; the next layer reads them as drawn."""
    model[0].weight.copy_(model[0].weight[:4].repeat(3, *[1] * (model[0].weight.dim() - 1)))
    model[0].bias.zero_()


def deep_copy(model):
    model[4] = copy.deepcopy(model[2])


def body_free(parameters):
    """The optimiser gets only what is left when the convolutions are forgotten."""
    return torch.optim.SGD([p for p in parameters if p.dim() < 3], 0.05)
