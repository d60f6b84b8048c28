"""Whether a loss of classes prefers the right ones, and has any to choose from."""

from __future__ import annotations

import pytest
import torch
from corpus.contract.builders import groups, net
from corpus.nets import sgd
from support.starts import named, told
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


def masks():
    """Squares to be found by their brightness."""
    x = torch.randn(16, 1, 8, 8)
    return x, (x > 0.5).float()


def finder():
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 1, 1))


def prober():
    return nn.Sequential(finder(), nn.Sigmoid())


def dice(p, y):
    p, y = p.flatten(1), y.flatten(1)
    return ((2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)).mean()


def jaccard(p, y):
    both = (p * y).sum()
    return both / (p.sum() + y.sum() - both + 1e-6)


def tversky(p, y):
    hit, false, missed = (p * y).sum(), (p * (1 - y)).sum(), ((1 - p) * y).sum()
    return hit / (hit + 0.3 * false + 0.7 * missed + 1e-6)


def of_logits(score):
    return lambda out, y: score(out.sigmoid(), y)


def less(score):
    return lambda out, y: 1 - score(out, y)


def right_share(out, y):
    """The mean squared probability of the right class, to be maximised."""
    return out.softmax(-1).gather(1, y[:, None]).square().mean()


def weighted_share(out, targets):
    y, weights = targets
    return (out.softmax(-1).gather(1, y[:, None]).squeeze(1).square() * weights).mean()


def weighted():
    x, y = groups()
    return x, (y, torch.rand(len(y)) + 0.5)


def tokens():
    """A class for each of six places, of the numbers that stand there."""
    x = torch.randn(32, 4, 6)
    return x, x[:, :3].argmax(1)


def reader():
    return nn.Sequential(nn.Conv1d(4, 16, 1), nn.ReLU(), nn.Conv1d(16, 3, 1))


def share_of_tokens(out, y):
    """The classes lie along the second axis, and the targets are in one row."""
    shares = out.softmax(1).movedim(1, -1).reshape(-1, 3)
    return shares[torch.arange(len(shares)), y.reshape(-1)].square().mean()


def focal(out, y):
    p = out.softmax(-1).gather(1, y[:, None])
    return -((1 - p) ** 2 * p.log()).mean()


SCORES = {
    "dice of logits": (finder, masks, of_logits(dice)),
    "dice of probabilities": (prober, masks, dice),
    "overlap of logits": (finder, masks, of_logits(jaccard)),
    "overlap of probabilities": (prober, masks, jaccard),
    "tversky": (finder, masks, of_logits(tversky)),
    "share of the right class": (net(), groups, right_share),
    "share of the right one of two": (net(outputs=2), lambda: groups(2), right_share),
    "weighted share of the right class": (net(), weighted, weighted_share),
    "share of the right tokens": (reader, tokens, share_of_tokens),
}


@pytest.mark.parametrize("name", SCORES)
def test_a_score_that_is_minimised_is_an_error_and_less_the_score_is_none(name):
    torch.manual_seed(0)
    make, batch, score = SCORES[name]
    found = named(diagnose(make(), batch(), loss_fn=score, optimizer=sgd(0.1)), "IC821")
    assert found.severity == "error"
    assert found.measured > found.limit
    sound = diagnose(make(), batch(), loss_fn=less(score), optimizer=sgd(0.1))
    assert "IC821" not in told(sound), str(sound)


def test_a_cross_entropy_with_the_wrong_sign_has_no_bound_and_is_told_so():
    torch.manual_seed(0)
    found = diagnose(net()(), groups(), loss_fn=lambda o, y: -functional.cross_entropy(o, y))
    assert found.findings[0].id == "IC803"
    assert "IC821" not in told(found)


class Complement(nn.Module):
    """Gives the probability of the other class."""

    def __init__(self):
        super().__init__()
        self.body = net(outputs=1)()

    def forward(self, x):
        return 1 - self.body(x).sigmoid().squeeze(-1)


def binary():
    x, y = groups(2)
    return x, y.float()


class Pairs(nn.Module):
    """Near pairs are likely to be the same."""

    def __init__(self):
        super().__init__()
        self.body = net(outputs=4)()

    def forward(self, x):
        there = self.body(x)
        return -(there - there.flip(0)).square().sum(-1)


class Gated(nn.Module):
    """A gate of the targets' shape, over values that may be of either sign."""

    def __init__(self):
        super().__init__()
        self.gate, self.value = net(outputs=1)(), net(outputs=1)()

    def forward(self, x):
        return (self.gate(x).sigmoid() * self.value(x)).squeeze(-1)


def unlikely(out, y):
    """Likelihood of the right class, and unlikelihood of the next one."""
    other = out.softmax(-1).gather(1, ((y + 1) % out.shape[-1])[:, None])
    return functional.cross_entropy(out, y) - 0.1 * (1 - other).clamp(min=1e-6).log().mean()


def by_returns(out, targets):
    """A policy's loss with returns below zero."""
    actions, returns = targets
    return -(out.log_softmax(1).gather(1, actions[:, None]).squeeze(1) * returns).mean()


def played():
    x, y = groups()
    return x, (y, -torch.rand(len(y)))


def complementary(out, y):
    """Labels that say which class it is not."""
    return -(1 - out.softmax(1).gather(1, y[:, None]) + 1e-5).log().mean()


def ranked(out, y):
    """Plackett-Luce: of the last place only one candidate is left."""
    order = torch.stack([(y + k) % 4 for k in range(4)], 1)
    left = out.gather(1, order)
    return -sum(left[:, k:].log_softmax(1)[:, 0] for k in range(4)).mean()


SOUND = {
    "returns below zero": (net(), played, by_returns),
    "complementary labels": (net(), groups, complementary),
    "ranks": (net(outputs=4), lambda: groups(4), ranked),
    "cross-entropy": (net(), groups, functional.cross_entropy),
    "smoothed": (net(), groups, nn.CrossEntropyLoss(label_smoothing=0.1)),
    "focal": (net(), groups, focal),
    "unlikelihood": (net(), groups, unlikely),
    "binary": (
        finder, masks, functional.binary_cross_entropy_with_logits,
    ),
    "binary and dice": (
        finder, masks,
        lambda o, y: functional.binary_cross_entropy_with_logits(o, y) + 1 - dice(o.sigmoid(), y),
    ),
    "minus dice": (finder, masks, lambda o, y: -dice(o.sigmoid(), y)),
    "complement": (
        Complement, binary, lambda p, y: functional.binary_cross_entropy(1 - p, y),
    ),
    "pairs": (Pairs, binary, functional.binary_cross_entropy_with_logits),
    "gated": (Gated, binary, nn.MSELoss()),
    "gated logits": (Gated, binary, functional.binary_cross_entropy_with_logits),
    "hinge": (net(), groups, nn.MultiMarginLoss()),
}  # fmt: skip


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", SOUND)
def test_what_prefers_the_right_classes_is_no_inversion(name, seed):
    torch.manual_seed(seed)
    make, batch, loss = SOUND[name]
    found = diagnose(make(), batch(), loss_fn=loss, optimizer=sgd(0.1))
    assert not {"IC821", "IC306"} & told(found), str(found)


def test_masks_that_a_loss_leaves_aside_are_no_classes():
    torch.manual_seed(0)
    x, y = groups()
    y[:3] = -100
    assert "IC821" not in told(diagnose(net()(), (x, y)))


@pytest.mark.parametrize("targets", ["column", "indices"])
def test_a_cross_entropy_over_one_logit_is_told_as_a_softmax_over_one_unit(targets):
    torch.manual_seed(0)
    x, y = groups(2)
    wanted = y.float()[:, None] if targets == "column" else torch.zeros_like(y)
    found = diagnose(net(outputs=1)(), (x, wanted), loss_fn=functional.cross_entropy)
    assert found.verdict == "fail"
    assert found.findings[0].id == "IC306", str(found)
