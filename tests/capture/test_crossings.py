"""Broadcasts of two results that nobody put an axis in for."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_initcheck import diagnose

TARGETS = torch.linspace(-1, 1, 24)[:, None]


def warned(combine, batch=None):
    """The IC811 of a loss that combines two outputs of (24, 1) in this way."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    batch = batch or (torch.randn(24, 6), TARGETS)

    def forward(model, batch):
        out = model(batch[0])
        first, second = out[:, :1], out[:, 1:]
        combined = combine(first, second, *batch[2:])
        return (combined - 1).square().mean() + (first - batch[1]).square().mean()

    found = diagnose(model, batch, forward=forward, optimizer=torch.optim.Adam)
    return [each for each in found.findings if each.id == "IC811"]


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a + 2 * b.squeeze(1),
        lambda a, b: a.flatten() * b,
        lambda a, b: a.exp() / (1 + b[:, 0].square()),
        lambda a, b: torch.maximum(a, b.sum(1)),
    ],
    ids=["residual", "product", "quotient", "maximum"],
)
def test_a_row_against_a_column_is_told_with_both_shapes(combine):
    (found,) = warned(combine)
    assert found.severity == "warning"
    assert found.measured == 24
    assert "(24, 1)" in found.quantity
    assert "(24,)" in found.quantity


@pytest.mark.parametrize(
    "combine",
    [
        lambda a, b: a + 2 * b,
        lambda a, b: a.squeeze(1)[:, None] - b.squeeze(1),
        lambda a, b: a - a.squeeze(1),
        lambda a, b: a - b.T,
        lambda a, b: a.square().sum(1, keepdim=True) + b.square().sum(1) - 2 * a @ b.T,
        lambda a, b: torch.cdist(a, b),
        lambda a, b: a - b.mean(),
        lambda a, b: a.squeeze(1).view(-1, 1) - b.view(-1),
    ],
    ids=["columns", "unsqueezed", "itself", "turned", "by products", "cdist", "mean", "viewed"],
)
def test_pairs_that_are_meant_are_no_fault(combine):
    assert warned(combine) == []


def test_a_weight_for_each_sample_that_came_as_a_row_is_one():
    batch = torch.randn(24, 6), TARGETS, torch.rand(24)
    assert len(warned(lambda a, b, weights: a * weights, batch)) == 1
