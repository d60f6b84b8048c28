"""Convolutional networks: stacks, coders, residual blocks, segmenters and more."""

from __future__ import annotations

import itertools

import torch
from torch import nn
from torch.nn import functional

from ..nets import CONVOLUTIONS, constant
from .data import ENDS


def stack(dims, act, depth, *, width=12, norm=None, bias=True, head=None):
    """``depth`` 3-wide convolutions, "0", "2", … (norm: "0", "3", …), mean, and a linear head."""
    first, kinds = ENDS[dims]
    parts = []
    for fan_in, fan_out in itertools.pairwise((first, *[width] * depth)):
        parts += [CONVOLUTIONS[dims - 1](fan_in, fan_out, 3, padding=1, bias=bias)]
        parts += [norm(fan_out)] if norm else []
        parts += [act()]
    pool = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)[dims - 1](4)
    size = width * 4**dims
    return nn.Sequential(*parts, pool, nn.Flatten(), head() if head else nn.Linear(size, kinds))


class Coder(nn.Module):
    """A coder and a decoder of transposed convolutions on digits; ``last`` ends it."""

    def __init__(self, act, last=None):
        super().__init__()
        self.act, self.last = act, last
        self.one, self.two = nn.Conv2d(1, 8, 4, 2, 1), nn.Conv2d(8, 16, 4, 2, 1)
        self.three = nn.ConvTranspose2d(16, 8, 4, 2, 1)
        self.four = nn.ConvTranspose2d(8, 1, 4, 2, 1)

    def forward(self, x):
        h = self.act(self.two(self.act(self.one(x))))
        out = self.four(self.act(self.three(h)))
        return self.last(out) if self.last else out


class Separable(nn.Module):
    """Depthwise and pointwise convolutions of 1 to 3 dimensions."""

    def __init__(self, dims, *, norm=None, init=None, width=32, act=functional.relu):
        super().__init__()
        conv, (first, kinds) = CONVOLUTIONS[dims - 1], ENDS[dims]
        self.stem, self.head = conv(first, width, 3, padding=1), nn.Linear(width, kinds)
        self.deep = nn.ModuleList(conv(width, width, 3, padding=1, groups=width) for _ in range(2))
        self.point = nn.ModuleList(conv(width, width, 1) for _ in range(2))
        self.norm = nn.ModuleList((norm or nn.Identity)(width) for _ in range(2))
        self.act = act
        if init:
            with torch.no_grad():
                for layer in self.deep:
                    init(layer.weight)

    def forward(self, x):
        h = self.act(self.stem(x))
        for deep, norm, point in zip(self.deep, self.norm, self.point, strict=True):
            h = self.act(point(self.act(norm(deep(h)))))
        return self.head(h.flatten(2).mean(2))


class Blocks(nn.Module):
    """Residual blocks on coloured pictures; ``skip`` says whether the skips are there."""

    def __init__(self, depth, norm, *, zero=None, skip=True, width=16, act=functional.relu):
        super().__init__()
        self.stem, self.head = nn.Conv2d(3, width, 3, padding=1), nn.Linear(width, 3)
        pairs = [(nn.Conv2d(width, width, 3, padding=1), norm(width)) for _ in range(2 * depth)]
        self.conv = nn.ModuleList(conv for conv, _ in pairs)
        self.norm = nn.ModuleList(norm for _, norm in pairs)
        self.skip, self.act = skip, act
        with torch.no_grad():
            for conv, norm_ in pairs[1::2]:
                if zero == "norm":
                    norm_.weight.zero_()
                elif zero == "conv":
                    constant(0.0)(conv)

    def forward(self, x):
        h = self.stem(x)
        for i in range(0, len(self.conv), 2):
            y = self.norm[i + 1](self.conv[i + 1](self.act(self.norm[i](self.conv[i](h)))))
            h = self.act(h + y if self.skip else y)
        return self.head(h.mean((2, 3)))


class Labels(nn.Module):
    """A label for each pixel; ``last`` ends it."""

    def __init__(self, kinds, last=None):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3,
                                  padding=2, dilation=2), nn.ReLU())  # fmt: skip
        self.out, self.last = nn.Conv2d(16, kinds, 1), last or nn.Identity()

    def forward(self, x):
        return self.last(self.out(self.body(x)))


class Upscaler(nn.Module):
    """Super-resolution by pixel shuffle; ``icnr`` repeats each kernel over its sub-pixels."""

    def __init__(self, *, icnr):
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.out = nn.Conv2d(8, 1, 3, padding=1)
        if icnr:
            with torch.no_grad():
                self.two.weight.copy_(self.two.weight[:8].repeat_interleave(4, 0))
                self.two.bias.zero_()

    def forward(self, x):
        h = functional.pixel_shuffle(self.two(functional.relu(self.one(x))), 2)
        return self.out(functional.relu(h))


class Bilinear(nn.Module):
    """A segmenter whose upsampling starts as bilinear interpolation, in groups or not."""

    def __init__(self, *, grouped):
        super().__init__()
        self.body, self.score = nn.Conv2d(3, 16, 4, 2, 1), nn.Conv2d(16, 6, 1)
        self.up = nn.ConvTranspose2d(6, 6, 4, 2, 1, groups=6 if grouped else 1, bias=False)
        self.out = nn.Conv2d(6, 3, 1)
        ramp = torch.tensor([0.25, 0.75, 0.75, 0.25])
        with torch.no_grad():
            kernel = ramp[:, None] * ramp
            if grouped:
                self.up.weight.copy_(kernel.expand_as(self.up.weight))
            else:
                self.up.weight.zero_()
                self.up.weight[range(6), range(6)] = kernel

    def forward(self, x):
        return self.out(self.up(self.score(functional.relu(self.body(x)))))


class Normalised(nn.Module):
    """ImageNet-like normalisation of raw pixels in the model."""

    def __init__(self):
        super().__init__()
        self.body = stack(2, nn.ReLU, 3)
        self.register_buffer("mean", torch.full((1, 3, 1, 1), 127.0))

    def forward(self, x):
        return self.body((x - self.mean) / 64)


class Edges(nn.Module):
    """Frozen Sobel filters before trained convolutions."""

    def __init__(self):
        super().__init__()
        self.sobel = nn.Conv2d(3, 6, 3, padding=1, groups=3, bias=False).requires_grad_(False)
        ramp = torch.tensor([[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 4
        with torch.no_grad():
            self.sobel.weight.copy_(torch.stack([ramp, ramp.T]).repeat(3, 1, 1)[:, None])
        self.body = nn.Conv2d(6, 16, 3, padding=1)
        self.head = nn.Linear(16, 3)

    def forward(self, x):
        return self.head(functional.relu(self.body(self.sobel(x))).amax((2, 3)))


class NormThenMean(nn.Module):
    """A norm over each picture and channel right before the mean over it: always its bias."""

    def __init__(self, norm):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)
        self.norm, self.head = norm(12), nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.norm(self.two(functional.relu(self.one(x)))).mean((2, 3)))


class ThroughNumpy(nn.Module):
    """A head that reads its coder through numpy."""

    def __init__(self):
        super().__init__()
        self.code, self.out = stack(1, nn.ReLU, 2, head=lambda: nn.Linear(48, 16)), nn.Linear(16, 4)

    def forward(self, x):
        return self.out(torch.relu(torch.tensor(self.code(x).detach().numpy())))


class Dilated(nn.Module):
    """A temporal convolutional network."""

    def __init__(self):
        super().__init__()
        self.stem, self.head = nn.Conv1d(2, 16, 1), nn.Linear(16, 4)
        self.wide = nn.ModuleList(nn.Conv1d(16, 16, 3, padding=2**i, dilation=2**i)
                                  for i in range(5))  # fmt: skip
        self.close = nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(5))

    def forward(self, x):
        h = self.stem(x)
        for wide, close in zip(self.wide, self.close, strict=True):
            h = h + close(torch.tanh(wide(h)) * torch.sigmoid(wide(h)))
        return self.head(h.amax(2))
