"""Gradients that were written by hand: those that follow the loss, and those that do not."""

from __future__ import annotations

import pytest
import torch
from support.starts import ids, labelled, named
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_initcheck import diagnose


def function(forward, backward):
    """An autograd.Function of one tensor."""

    class Written(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            ctx.save_for_backward(value)
            return forward(value)

        @staticmethod
        def backward(ctx, gradient):
            (value,) = ctx.saved_tensors
            return backward(value, gradient)

    return Written.apply


class Behind(nn.Module):
    """A network whose hidden weights go through a function."""

    def __init__(self, apply):
        super().__init__()
        self.first, self.last = nn.Linear(20, 32), nn.Linear(32, 3)
        self.apply_to = apply

    def forward(self, x):
        weight = self.apply_to(self.first.weight)
        return self.last(torch.relu(nn.functional.linear(x, weight, self.first.bias)))


def judged(apply, **options):
    torch.manual_seed(0)
    return diagnose(Behind(apply), labelled(20, 3), **options)


def scale(value):
    return value.abs().mean() * value.sign()


FOLLOWING = {
    "straight through": function(scale, lambda value, g: g),
    "surrogate": function(lambda v: (v > 0).float(), lambda v, g: g / (1 + 10 * v.abs()) ** 2),
    "clipped": function(lambda v: v * 1.0, lambda v, g: g.clamp(-1e-3, 1e-3)),
    "signs": function(lambda v: v * 1.0, lambda v, g: g.sign() * 1e-3),
    "reversed": function(lambda v: v * 1.0, lambda v, g: -g),
    "scaled": function(lambda v: v * 1.0, lambda v, g: 0.1 * g),
}
FREE = {
    "made of the weights": function(scale, lambda v, g: 0.5 * v * (v.abs() <= 1)),
    "a constant": function(scale, lambda v, g: torch.full_like(v, 1e-2)),
    "the size of what comes in": function(scale, lambda v, g: g.abs()),
}


@pytest.mark.parametrize("name", FOLLOWING)
def test_gradients_that_follow_the_loss_pass(name):
    assert "IC406" not in ids(judged(FOLLOWING[name]))


@pytest.mark.parametrize("name", FREE)
def test_gradients_that_do_not_are_an_error(name):
    found = named(judged(FREE[name]), "IC406")

    assert found.severity == "error"
    assert found.layers == ("first",)
    assert found.measured == 1


def test_a_loss_that_takes_its_own_gradient_for_one_is_none():
    class Squared(torch.autograd.Function):
        @staticmethod
        def forward(ctx, output, target):
            ctx.save_for_backward(output, target)
            return ((output - target) ** 2).mean()

        @staticmethod
        def backward(ctx, gradient):
            output, target = ctx.saved_tensors
            return 2 * (output - target) / output.numel(), None

    x = torch.randn(64, 20)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 2))

    assert "IC406" not in ids(diagnose(model, (x, x[:, :2]), Squared.apply))


def test_a_checkpoint_and_dropout_are_asked_under_the_same_numbers():
    class Checked(Behind):
        def forward(self, x):
            hidden = checkpoint(self.first, x.requires_grad_(), use_reentrant=True)
            return self.last(nn.functional.dropout(hidden.relu(), 0.5))

    torch.manual_seed(0)
    assert "IC406" not in ids(diagnose(Checked(None), labelled(20, 3)))


def test_models_without_such_a_function_are_not_asked(monkeypatch):
    from pytest_initcheck.diagnosis import gather

    monkeypatch.setattr(gather, "unturned", lambda program: pytest.fail("was asked"))

    assert judged(lambda value: value).verdict == "pass"
