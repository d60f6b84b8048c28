"""What a nat in the code of a variational autoencoder costs, beside what it can gain."""

from __future__ import annotations

import pytest
import torch
from corpus.nets import adam
from support.starts import named, told
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

SAMPLES, WIDTH, CODE = 64, 24, 4


def data(scale=1.0):
    """Rows of four factors, in [0, 1]."""
    return (scale * torch.randn(SAMPLES, CODE) @ torch.randn(CODE, WIDTH)).sigmoid()


class Coder(nn.Module):
    """Gives reconstruction, mean and the logarithm that the loss takes, from one head or two."""

    def __init__(self, *, is_split=False, spread=lambda log: (log / 2).exp()):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(WIDTH, 32), nn.ReLU())
        self.mean = nn.Linear(32, CODE if is_split else 2 * CODE)
        self.log = nn.Linear(32, CODE) if is_split else None
        self.back = nn.Sequential(nn.Linear(CODE, 32), nn.ReLU(), nn.Linear(32, WIDTH))
        self.spread = spread

    def forward(self, x):
        there = self.body(x)
        mean, log = (
            (self.mean(there), self.log(there)) if self.log else self.mean(there).chunk(2, 1)
        )
        return self.back(mean + self.spread(log) * torch.randn_like(mean)), mean, log


def of_variance(mean, log):
    return -0.5 * (1 + log - mean.square() - log.exp()).sum(1).mean()


def of_deviation(mean, log):
    return (mean.square() + (2 * log).exp() - 1 - 2 * log).div(2).sum(1).mean()


def by_library(mean, log):
    there = torch.distributions.Normal(mean, (log / 2).exp())
    return (
        torch.distributions.kl_divergence(there, torch.distributions.Normal(0.0, 1.0)).sum(1).mean()
    )


def squared(out, x):
    return (out - x).square().sum(1).mean()


def crossed(out, x):
    return functional.binary_cross_entropy_with_logits(out, x, reduction="none").sum(1).mean()


def judged(model, reconstruction, divergence, *, weight=1.0, scale=20.0):
    torch.manual_seed(0)

    def forward(m, x):
        out, mean, log = m(x)
        return scale * reconstruction(out, x) + weight * divergence(mean, log)

    return diagnose(model, data(3.0), forward=forward, optimizer=adam(1e-3))


def squashed(out, x):
    return squared(out.sigmoid(), x)


WAYS = {
    "one head, variance": (Coder, squared, of_variance),
    "two heads, variance": (lambda: Coder(is_split=True), squared, of_variance),
    "two heads, deviation": (
        lambda: Coder(is_split=True, spread=torch.exp), squared, of_deviation,
    ),
    "cross-entropy": (Coder, crossed, of_variance),
    "by library": (Coder, squared, by_library),
    "a squashing before the comparison": (Coder, squashed, of_variance),
}  # fmt: skip


@pytest.mark.parametrize("name", WAYS)
def test_a_sum_beside_a_mean_is_an_error_and_two_sums_are_none(name):
    make, reconstruction, divergence = WAYS[name]
    torch.manual_seed(0)
    found = judged(make(), lambda o, x: reconstruction(o, x) / WIDTH, divergence, scale=1.0)
    finding = named(found, "IC822")
    assert finding.severity == "error"
    assert 0 < finding.measured < 1
    torch.manual_seed(0)
    assert "IC822" not in told(judged(make(), reconstruction, divergence))


def test_what_is_measured_falls_with_the_weight():
    torch.manual_seed(0)
    gains = [
        named(judged(Coder(), squared, of_variance, weight=weight, scale=1.0), "IC822").measured
        for weight in (100.0, 1000.0)
    ]
    assert gains[0] == pytest.approx(10 * gains[1], rel=0.05)


@pytest.mark.parametrize("weight", [0.0, 1e-3, 0.1])
def test_a_small_weight_is_none(weight):
    torch.manual_seed(0)
    assert "IC822" not in told(judged(Coder(), squared, of_variance, weight=weight))


def sparse(mean, log):
    """A penalty of a code that is no divergence."""
    return mean.abs().sum(1).mean() + log.square().sum(1).mean()


def held(mean, log):
    return mean.square().sum(1).mean() + 0 * log.sum()


@pytest.mark.parametrize("penalty", [sparse, held], ids=lambda each: each.__name__)
def test_other_penalties_of_a_code_are_none(penalty):
    torch.manual_seed(0)
    found = judged(Coder(), squared, penalty, weight=100.0, scale=1.0)
    assert "IC822" not in told(found), str(found)


def test_training_does_find_a_code_that_says_nothing():
    """The label of the rule: after the steps the reconstruction is that of a constant."""
    torch.manual_seed(0)
    model, x = Coder(), data(3.0)
    step = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(300):
        out, mean, log = model(x)
        loss = functional.mse_loss(out, x) + of_variance(mean, log)
        step.zero_grad()
        loss.backward()
        step.step()
    with torch.no_grad():
        left = functional.mse_loss(model(x)[0], x)
    assert left > 0.9 * x.var(0, unbiased=False).mean()
