"""Momentum: how a single parameter gets past a saddle and out of a local minimum.

There is only one parameter, w, and two landscapes for it:

* w³ has a saddle at 0: flat there, but downhill again behind it.
* 2w⁴ − 9w³ − 21w² + 88w + 48 has a local minimum at 4, the global one at −2, a ridge at 1.375.

Gradient descent without momentum stops where the slope ends, at the saddle or in the first minimum
on its way. With momentum 0.9 it arrives with speed and rolls on.

Noise comes in two kinds. Added to the *value* of the loss it changes nothing, however strong: the
derivative of a constant is 0. Added to the *gradient*, as mini-batches do, it kicks w about: then
each seed takes its own way, and what can be asserted is the share of the seeds that escape.
"""

import pytest
import torch
from torch import nn

from pytest_initcheck import InitcheckFailure, escape

SEEDS = range(64)
RIDGE = 1.375


def cubic(w):
    return w**3


def quartic(w):
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def sgd(lr, momentum):
    return lambda parameters: torch.optim.SGD(parameters, lr=lr, momentum=momentum)


def past_the_saddle(w):
    return w < 0


def past_the_ridge(w):
    return w < RIDGE


# Saddles: w³ from 4, 10 steps with rate 0.01


def test_without_momentum_w_crawls_towards_the_saddle(initcheck):
    found = initcheck.escape(cubic, 4.0, sgd(0.01, 0.0), 10, reached=past_the_saddle)
    initcheck.picture("w³, momentum 0", found.plot(span=(-4, 4)))
    path = found.trajectories[0, :, 0]
    assert path[:3].tolist() == pytest.approx([4.0, 3.52, 3.148], abs=5e-4)
    assert path[-1].item() == pytest.approx(1.7355, abs=5e-4)
    assert found.ends[0] == "still moving"
    assert not any(found.escaped)


def test_and_is_still_before_it_after_2000_steps(initcheck):
    found = initcheck.escape(cubic, 4.0, sgd(0.01, 0.0), 2000, reached=past_the_saddle)
    assert 0 < found.final[0].item() < 0.02
    assert found.ends[0] == "saddle"
    assert not any(found.escaped)


def test_with_momentum_w_crosses_the_saddle(initcheck):
    found = initcheck.escape(cubic, 4.0, sgd(0.01, 0.9), 10, reached=past_the_saddle)
    initcheck.picture("w³, momentum 0.9", found.plot(span=(-5, 4)))
    assert found.final[0].item() == pytest.approx(-4.0995, abs=5e-4)
    assert all(found.escaped)


# Local minima: the quartic from 6, 100 steps with rate 0.001


@pytest.mark.parametrize(("momentum", "final"), [(0.0, 4.0000), (0.9, -1.9912)])
def test_momentum_decides_which_minimum_is_found(initcheck, momentum, final):
    found = initcheck.escape(quartic, 6.0, sgd(0.001, momentum), 100, reached=past_the_ridge)
    initcheck.picture(f"quartic, momentum {momentum}", found.plot(span=(-4, 6)))
    assert found.final[0].item() == pytest.approx(final, abs=5e-4)
    assert found.ends[0] == "minimum"
    assert all(escaped == (momentum > 0) for escaped in found.escaped)


def test_that_is_what_a_plain_pytorch_loop_does():
    """One weight of a linear layer fed with 1, noise on the loss, as one writes it by hand."""
    w = nn.Linear(1, 1, bias=False)
    nn.init.constant_(w.weight, 6.0)
    optimizer = torch.optim.SGD(w.parameters(), lr=0.001, momentum=0.9)
    path = [w.weight.item()]
    for _ in range(100):
        optimizer.zero_grad()
        loss = torch.mean(quartic(w(torch.tensor([[1.0]])))) + 10 * torch.randn(1, 1)
        loss.backward()
        optimizer.step()
        path.append(w.weight.item())
    found = escape(quartic, 6.0, sgd(0.001, 0.9), 100, seeds=1)
    assert found.trajectories[0, :, 0].tolist() == pytest.approx(path, abs=5e-4)


# Noise on the value of the loss


@pytest.mark.parametrize("std", [10, 100])
@pytest.mark.parametrize(("momentum", "final"), [(0.0, 4.0000), (0.9, -1.9912)])
def test_noise_on_the_loss_changes_nothing(initcheck, std, momentum, final):
    optimizer = sgd(0.001, momentum)
    quiet = escape(quartic, 6.0, optimizer, 100)
    noisy = initcheck.escape(quartic, 6.0, optimizer, 100, noise=std, noise_on="loss")
    initcheck.picture(f"std {std} on the loss, momentum {momentum}", noisy.plot(span=(-4, 6)))
    assert torch.equal(noisy.trajectories, quiet.trajectories)
    assert not torch.equal(noisy.values, quiet.values)
    assert noisy.final[0].item() == pytest.approx(final, abs=5e-4)


# Noise on the gradient: shares of seeds


def test_momentum_finds_the_global_minimum_in_spite_of_noise(initcheck):
    found = initcheck.assert_escapes(
        quartic,
        6.0,
        sgd(0.001, 0.9),
        steps=100,
        noise=10,
        noise_on="gradient",
        reached=past_the_ridge,
        seeds=SEEDS,
        probability=0.95,
    )
    initcheck.picture("std 10 on the gradient, momentum 0.9", found.plot(span=(-4, 6)))
    assert found.ends.count("minimum") > len(SEEDS) / 2


def test_strong_noise_traps_some_seeds_on_the_way(initcheck):
    """With std 100 about four in five still get past the ridge: a share, with its interval."""
    found = initcheck.escape(
        quartic, 6.0, sgd(0.001, 0.9), 100, noise=100, seeds=SEEDS, reached=past_the_ridge
    )
    initcheck.picture("std 100 on the gradient, momentum 0.9", found.plot(span=(-4, 6)))
    low, high = found.interval()
    initcheck.compare(
        "share past the ridge",
        {"share": found.share(), "95 % interval, low": low, "95 % interval, high": high},
    )
    assert low < 0.79 < high
    assert found.verdict(probability=0.6).holds
    assert not found.verdict(probability=0.95).holds


@pytest.mark.parametrize("std", [10, 100])
def test_without_momentum_noise_does_not_lead_out_of_the_local_minimum(initcheck, std):
    """Expected not to escape: the assertion has to fail, and says how many seeds did."""
    with pytest.raises(InitcheckFailure, match="0 of 64"):
        initcheck.assert_escapes(
            quartic,
            6.0,
            sgd(0.001, 0.0),
            steps=100,
            noise=std,
            noise_on="gradient",
            reached=past_the_ridge,
            seeds=SEEDS,
            probability=0.5,
        )


@pytest.mark.parametrize("std", [0, 100])
def test_noise_on_the_gradient_leads_off_a_saddle_even_without_momentum(initcheck, std):
    found = initcheck.escape(
        cubic, 4.0, sgd(0.01, 0.0), 200, noise=std, seeds=SEEDS, reached=past_the_saddle
    )
    assert found.verdict(probability=0.9).holds == (std > 0)
    assert found.share() == pytest.approx(1.0 if std else 0.0, abs=0.1)
