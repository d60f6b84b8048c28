"""Derivatives without a graph within a sum: which are lost, and how large a part of it they are."""

from __future__ import annotations

import pytest
import torch
from corpus.contract import lost
from support.objective import asked


def share(model, b):
    """The derivative's part in u_t + 2u, as it was at the start."""
    x = b["all"].clone().requires_grad_()
    u = model(x)
    (slope,) = torch.autograd.grad(u.sum(), x)
    lone, rest = (part.double().square().mean().sqrt() for part in (slope[:, 1:], 2 * u.detach()))
    return float(lone / (lone + rest))


def test_the_share_of_a_derivative_without_its_graph():
    torch.manual_seed(0)
    model, batch = lost.field(), lost.plane()
    facts = asked(lambda: model, lambda: batch, forward=lost.solving(lost.decay))
    assert facts.lost_slope == pytest.approx(share(model, batch), rel=1e-3)


@pytest.mark.parametrize("residual", [lost.decay, lost.heat, lost.flowing])
def test_none_is_lost_with_its_graph(residual):
    step = lost.solving(residual, create_graph=True)
    assert asked(lost.field, lost.plane, forward=step).lost_slope == 0


def detached(m, b):
    """What was cut on purpose beside a derivative makes a target of both."""
    x = b["all"].clone().requires_grad_()
    u = m(x)
    (slope,) = torch.autograd.grad(u.sum(), x, retain_graph=True)
    return (u - (u.detach() - 0.1 * slope[:, 1:])).square().mean() + lost.begun(m, b)


def compared(m, b):
    """The same residual as two arguments of a loss."""
    x = b["all"].clone().requires_grad_()
    u = m(x)
    (slope,) = torch.autograd.grad(u.sum(), x, retain_graph=True)
    return lost.mse(-2 * u, slope[:, 1:]) + lost.begun(m, b)


@pytest.mark.parametrize(("step", "is_lost"), [(detached, False), (compared, True)])
def test_targets_are_no_residuals(step, is_lost):
    assert (asked(lost.field, lost.plane, forward=step).lost_slope > 0) == is_lost
