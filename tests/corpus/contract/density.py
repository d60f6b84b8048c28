"""Likelihoods, adversaries, denoisers and codes: losses of any sign and targets of many kinds."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from ..case import FAIL, PASS
from ..causes import COLLAPSED
from ..nets import mlp
from ..unusual.builders import Model
from ..unusual.generative import Described, Flow, elbo, likelihood, moons, same
from .builders import given, mapped, net, numbers, row, sketches, squared

NOISY = mapped(numbers(), lambda y: 0.05 * (y + 0.3 * torch.randn_like(y)))
COUNTS = mapped(numbers(), lambda y: y.exp().round())


def gaussian(output, y):
    """The likelihood of a learnt mean and variance, below zero where the variance is small."""
    mean, log = output.chunk(2, 1)
    return functional.gaussian_nll_loss(mean, y, log.exp())


def mixture(output, y):
    """A mixture of three Gaussians."""
    share, mean, log = output.chunk(3, 1)
    part = -((y - mean) / log.exp()).square() / 2 - log
    return -(share.log_softmax(1) + part).logsumexp(1).mean()


def pinball(output, y):
    gap = y - output
    return torch.maximum(0.9 * gap, -0.1 * gap).mean()


def outliers():
    x, y = numbers()()
    return x, y + 20 * (torch.rand(128, 1) < 0.03)


def adversary():
    return Model(None, generator=mlp(nn.ReLU, 8, 64, 36, last=nn.Tanh()),
                 judge=mlp(lambda: nn.LeakyReLU(0.2), 36, 64, 1))  # fmt: skip


def real():
    return {"real": sketches(-1.0, 1.0)()[0], "noise": torch.randn(64, 8)}


def judging(loss):
    """The judge's step: the generator gets no gradient."""

    def forward(m, b):
        with torch.no_grad():
            fake = m.generator(b["noise"])
        return loss(m, b["real"], fake)

    return forward


def standard(m, real, fake):
    bce = functional.binary_cross_entropy_with_logits
    a, b = m.judge(real), m.judge(fake)
    return bce(a, torch.ones_like(a)) + bce(b, torch.zeros_like(b))


def hinged(m, real, fake):
    return (1 - m.judge(real)).relu().mean() + (1 + m.judge(fake)).relu().mean()


def wasserstein(m, real, fake):
    """The difference of the scores and a penalty of the gradient."""
    mid = torch.lerp(real, fake, torch.rand(64, 1)).requires_grad_()
    slope = torch.autograd.grad(m.judge(mid).sum(), mid, create_graph=True)[0]
    apart = m.judge(fake).mean() - m.judge(real).mean()
    return apart + 10 * (slope.norm(dim=1) - 1).square().mean()


def energy(m, b):
    """The energies of data and of noise, kept near zero."""
    low, high = m.body(b["real"]), m.body(torch.randn(64, 36))
    return low.mean() - high.mean() + 0.1 * (low.square() + high.square()).mean()


def diffusion(m, b):
    """The prediction of the noise at a random time."""
    t = b["t"]
    noisy = (t * math.pi / 2).cos() * b["x"] + (t * math.pi / 2).sin() * b["noise"]
    return squared(m.body(torch.cat([noisy, t], 1)), b["noise"])


def times():
    return {"x": sketches(-1.0, 1.0)()[0], "t": torch.rand(64, 1), "noise": torch.randn(64, 36)}


def score(m, b):
    """Denoising score matching with weights of sigma squared."""
    sigma = 0.1 + b["t"]
    return (m.body(torch.cat([b["x"] + sigma * b["noise"], sigma], 1)) + b["noise"]).square().mean()


def coded(m, x):
    """A code book with the straight-through trick."""
    h = m.encoder(x)
    code = m.book(torch.cdist(h, m.book.weight).argmin(1))
    apart = squared(code, h.detach()) + 0.25 * squared(code.detach(), h)
    return m.decoder(h + (code - h).detach()), apart


def book():
    return Model(coded, encoder=mlp(nn.ReLU, 36, 48, 8), book=nn.Embedding(16, 8),
                 decoder=mlp(nn.ReLU, 8, 48, 36, last=nn.Sigmoid()))  # fmt: skip


def discrete(m, x):
    """Gumbel-softmax, hard with a straight-through gradient."""
    z = functional.gumbel_softmax(m.encoder(x).view(-1, 4, 8), 1.0, hard=True)
    return m.decoder(z.flatten(1))


def gumbel():
    return Model(discrete, encoder=mlp(nn.ReLU, 36, 48, 32),
                 decoder=mlp(nn.ReLU, 32, 48, 36, last=nn.Sigmoid()))  # fmt: skip


def rebuilt(output, x):
    return squared(output[0], x) + output[1]


def masked(m, b):
    """A masked autoencoder: the error counts where the input was hidden."""
    hidden = b["hidden"]
    out = m.body(torch.cat([b["x"] * ~hidden, hidden], 1))
    return ((out - b["x"]).square() * hidden).sum() / hidden.sum()


def covered():
    x = sketches(-1.0, 1.0)()[0]
    return {"x": x, "hidden": torch.rand_like(x) < 0.5}


def body(outputs=36, inputs=36):
    return lambda: Model(None, body=mlp(nn.ReLU, inputs, 64, outputs))


def described(m, x):
    """Reconstruction, mean and log-variance of a code of four."""
    mean, log = m.coder(x).chunk(2, 1)
    return m.decoder(mean + (log / 2).exp() * torch.randn_like(mean)), mean, log


def coding():
    return Model(described, coder=mlp(nn.ReLU, 24, 48, 8), decoder=mlp(nn.ReLU, 4, 48, 24))


def weighed(reduce):
    """The evidence bound, whose squared error is reduced in its own way."""

    def forward(m, b):
        out, mean, log = m(b[0])
        divergence = -0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()
        return reduce((out - b[0]).square()) + divergence

    return forward


def factors():
    """Rows of three factors with a variance of about two."""
    return (torch.randn(64, 3) @ torch.randn(3, 24),)


CASES = [
    row("divergence summed, reconstruction averaged",
        given(coding, factors, forward=weighed(lambda e: 0.1 * e.mean())), FAIL, COLLAPSED),
    row("divergence and reconstruction summed",
        given(coding, factors, forward=weighed(lambda e: e.sum(1).mean())), PASS),
    row("mean and variance", given(net(None, 2), NOISY, gaussian), PASS),
    row("mixture density", given(net(None, 9), numbers(), mixture), PASS),
    row("Poisson likelihood", given(net(None, 1), COUNTS, nn.PoissonNLLLoss()), PASS),
    row("pinball loss", given(net(None, 1), numbers(), pinball), PASS),
    row("Huber loss with outliers", given(net(None, 1), outliers, nn.HuberLoss()), PASS),
    row("log-cosh loss", given(net(None, 1), numbers(), lambda o, y: ((o - y).cosh() + 1e-12).log(
        ).mean()), PASS),
    row("evidence bound", given(Described, same(), elbo), PASS),
    row("flow by its likelihood", given(Flow, moons, likelihood), PASS),
    row("judge's step", given(adversary, real, forward=judging(standard)), PASS),
    row("judge's step by hinges", given(adversary, real, forward=judging(hinged)), PASS),
    row("judge's step by Wasserstein distance", given(adversary, real,
        forward=judging(wasserstein)), PASS),
    row("energies", given(body(1), real, forward=energy), PASS),
    row("prediction of noise", given(body(36, 37), times, forward=diffusion), PASS),
    row("score matching", given(body(36, 37), times, forward=score), PASS),
    row("code book with commitment", given(book, sketches(), rebuilt), PASS),
    row("Gumbel codes", given(gumbel, sketches()), PASS),
    row("masked autoencoder", given(body(36, 72), covered, forward=masked), PASS),
]  # fmt: skip
