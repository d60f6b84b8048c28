"""Models that make or compare data: autoencoders, flows, adversaries, codebooks."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..architectures import Variational
from ..case import FAIL, MILD, PASS, WARN
from ..causes import DEAD, LEFT_OUT, LOCKED, LOSS, NONFINITE, SIGNAL, SILENT, ZERO
from ..changes import fill
from ..nets import classes, constant, mlp
from .builders import Model, made, row, start


class Auto(nn.Module):
    """An autoencoder with a bottleneck."""

    def __init__(self, act=nn.ReLU, last=None):
        super().__init__()
        self.encoder, self.decoder = mlp(act, 20, 32, 6), mlp(act, 6, 32, 20, last=last)

    def forward(self, x):
        return self.decoder(self.encoder(x))


def same(scale=1.0, shift=0.0):
    """Data of rank four that must come out as it went in."""

    def data():
        x = torch.randn(64, 4) @ torch.randn(4, 20) / 2 * scale + shift
        return x, x

    return data


class Described(Variational):
    """A variational autoencoder that returns a dict."""

    def __init__(self):
        super().__init__(20, 32, 4, last=nn.Identity())

    def forward(self, x):
        return dict(zip(("out", "mean", "log"), super().forward(x), strict=True))


def elbo(output, x):
    gap = output["mean"].square() + output["log"].exp() - output["log"] - 1
    return functional.mse_loss(output["out"], x) + 0.01 * gap.mean()


class Adversary(nn.Module):
    """A generator whose pictures a frozen discriminator judges."""

    def __init__(self):
        super().__init__()
        self.generator = mlp(nn.ReLU, 8, 32, 20, last=nn.Tanh())
        self.discriminator = mlp(lambda: nn.LeakyReLU(0.2), 20, 32, 1).requires_grad_(False)


def fool(model, noise):
    return functional.softplus(-model.discriminator(model.generator(noise))).mean()


def noise():
    return torch.randn(64, 8)


class Pair(nn.Module):
    """One encoder for two views; normalised codes, scaled."""

    def __init__(self, *, scale=10.0):
        super().__init__()
        self.body, self.scale = mlp(nn.ReLU, 20, 32, 16), scale

    def forward(self, a, b):
        a, b = (functional.normalize(self.body(part), dim=-1) for part in (a, b))
        return a @ b.T * self.scale


def views():
    x = torch.randn(32, 20)
    return (x, x + 0.3 * torch.randn(32, 20)), torch.arange(32)


def strangers():
    """Views that have nothing to do with each other."""
    return (torch.randn(32, 20), torch.randn(32, 20)), torch.arange(32)


def angular():
    """ArcFace: cosines times 64 with a margin of .5, in 512 dimensions."""

    def loss(cosines, targets):
        margin = 0.5 * functional.one_hot(targets, 10)
        return functional.cross_entropy(64 * (cosines - margin), targets)

    def run(m, x):
        return functional.normalize(m.body(x), dim=-1) @ functional.normalize(m.kinds, dim=-1).T

    model = Model(run, body=mlp(nn.ReLU, 20, 64, 512), kinds=nn.Parameter(torch.randn(10, 512)))
    return start(model, classes(20, 10), loss)


class Denoiser(nn.Module):
    """A convolutional denoiser with time features and zero convolutions at the branches' end."""

    def __init__(self, zero=("more",)):
        super().__init__()
        self.stem, self.time = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, 8)
        self.norm = nn.GroupNorm(4, 8)
        self.inner, self.more = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.out = nn.Conv2d(8, 1, 3, padding=1)
        for name in zero:
            constant(0.0)(self.get_submodule(name))

    def forward(self, x, t):
        h = self.stem(x)
        wave = torch.cat([fn(t[:, None] * 2.0 ** torch.arange(4)) for fn in (torch.sin, torch.cos)],
                         1)  # fmt: skip
        inner = self.inner(functional.silu(self.norm(h))) + self.time(wave)[..., None, None]
        return self.out(functional.silu(h + self.more(functional.silu(inner))))


def noisy():
    clean, dirt = torch.ones(8, 1, 8, 8) * torch.randn(8, 1, 1, 1), torch.randn(8, 1, 8, 8)
    t = torch.rand(8)
    return (clean + t[:, None, None, None] * dirt, t), dirt


class Flow(nn.Module):
    """Affine couplings whose last layers start at zero; returns the code and log-determinant."""

    def __init__(self, *, zero=("4",)):
        super().__init__()
        self.nets = nn.ModuleList(mlp(nn.ReLU, 3, 24, 24, 6) for _ in range(4))
        for net in self.nets:
            for name in zero:
                constant(0.0)(net.get_submodule(name))

    def forward(self, x):
        total = 0.0
        for net in self.nets:
            a, b = x.chunk(2, 1)
            s, t = net(a).chunk(2, 1)
            x = torch.cat([b * torch.tanh(s).exp() + t, a], 1)
            total = total + torch.tanh(s).sum(1)
        return x, total


def likelihood(output):
    return (output[0].square().sum(1) / 2 - output[1]).mean()


def moons():
    a = torch.randn(64, 3)
    return torch.cat([a, a.square() - 1 + 0.1 * torch.randn(64, 3)], 1)


class Quantised(nn.Module):
    """Codes of a book, with the straight-through trick; the book may be constant."""

    def __init__(self, *, alike):
        super().__init__()
        self.body, self.head = mlp(nn.ReLU, 20, 32, 8), nn.Linear(8, 3)
        self.book = nn.Parameter(torch.full((16, 8), 0.1) if alike else torch.randn(16, 8) / 3)

    def forward(self, x):
        h = self.body(x)
        near = (-torch.cdist(h, self.book)).softmax(-1) @ self.book
        return self.head(h + near)


def codes():
    """A codebook with straight-through gradients."""

    def run(m, x):
        h = m.body(x)
        code = m.book[torch.cdist(h, m.book).argmin(1)]
        apart = (code.detach() - h).square().mean() + (code - h.detach()).square().mean()
        return m.head(h + (code - h).detach()), apart

    return Model(run, body=mlp(nn.ReLU, 20, 32, 8), book=nn.Parameter(torch.randn(16, 8) / 3),
                 head=nn.Linear(8, 3))  # fmt: skip


def both(output, y):
    return functional.cross_entropy(output[0], y) + output[1]


COUPLINGS = " ".join(f"nets.{i}.{j}" for i in range(4) for j in (2, 4))


CASES = [
    row("autoencoder", made(Auto, None, same()), PASS),
    row("constant bottleneck", made(Auto, fill(0.05, "encoder.2", "decoder.0"), same()), FAIL,
        LOCKED, "encoder.2"),
    row("variational", made(Described, None, same(), loss_fn=elbo), PASS),
    row("variational without a loss for its code", made(lambda: Variational(20, 32, 4,
        last=nn.Identity()), None, same()), WARN, LEFT_OUT),
    row("variational with a log-variance of 200", made(Described, lambda m: m.log.bias.fill_(200.0),
        same(), loss_fn=elbo), FAIL, NONFINITE, "log leave.0 leave.2"),
    row("generator", made(Adversary, None, noise, forward=fool), PASS),
    row("generator before a dead discriminator", made(Adversary,
        fill(0.0, "discriminator.0", "discriminator.2"), noise, forward=fool), FAIL,
        (SILENT, ZERO, SIGNAL)),
    row("contrast", made(Pair, None, views), PASS),
    row("contrast scaled by 1000", made(lambda: Pair(scale=1000.0), None, strangers), FAIL, LOSS),
    row("denoiser", made(Denoiser, None, noisy), PASS),
    row("denoiser with two zero convolutions in a branch",
        made(lambda: Denoiser(("more", "inner", "time")), None, noisy), FAIL, ZERO,
        "more inner time"),
    row("flow of zero couplings", made(Flow, None, moons, loss_fn=likelihood), PASS),
    row("flow with two zero layers", made(lambda: Flow(zero=("2", "4")), None, moons,
        loss_fn=likelihood), FAIL, (ZERO, DEAD), COUPLINGS),
    row("codebook", made(lambda: Quantised(alike=False)), PASS),
    row("codebook of one value", made(lambda: Quantised(alike=True)), FAIL, LOCKED,
        missed="the rows of a bare parameter are not taken for units"),
    row("angular margin", angular, MILD),
    row("straight-through codebook", made(codes, loss_fn=both), PASS),
]  # fmt: skip
