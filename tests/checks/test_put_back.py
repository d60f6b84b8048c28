"""Weights that are stepped, and bit for bit what they were after it."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


class Changed(nn.Linear):
    """A layer that writes to its own weight before it uses it."""

    def __init__(self, inputs, outputs, change):
        super().__init__(inputs, outputs)
        self.change = change
        self.first = self.weight.detach().clone()

    def forward(self, x):
        with torch.no_grad():
            self.weight.copy_(self.change(self.weight, self.first))
        return functional.linear(x, self.weight, self.bias)


def found(change, optimizer=lambda p: torch.optim.Adam(p, 1e-3), **options):
    torch.manual_seed(0)
    body = [nn.Linear(12, 24), nn.Tanh(), Changed(24, 24, change), nn.Tanh(), nn.Linear(24, 3)]
    batch = torch.randn(48, 12), torch.arange(48) % 3
    seen = diagnose(nn.Sequential(*body), batch, optimizer=optimizer, **options).findings
    return [each for each in seen if each.id == "IC602"]


@pytest.mark.parametrize(
    "change",
    [
        lambda w, first: (w * 16).round() / 16,
        lambda w, first: first,
    ],
    ids=["rounded", "copied from elsewhere"],
)
@pytest.mark.parametrize(
    "optimizer",
    [lambda p: torch.optim.Adam(p, 1e-3), lambda p: torch.optim.SGD(p, 0.1)],
    ids=["adam", "sgd"],
)
def test_what_undoes_every_step_is_told_with_its_layer(change, optimizer):
    (told,) = found(change, optimizer)
    assert (told.severity, told.layers) == ("warning", ("2",))
    assert "something puts them back" in str(told)


@pytest.mark.parametrize(
    "change",
    [
        lambda w, first: w,
        lambda w, first: w.clamp(-0.1, 0.1),
        lambda w, first: w / w.norm(dim=1, keepdim=True),
        lambda w, first: (w * 2**16).round() / 2**16,
    ],
    ids=["as it is", "clamped", "normalised", "rounded finely"],
)
def test_what_leaves_a_part_of_the_step_is_no_fault(change):
    assert found(change) == []


def test_a_step_that_rounding_loses_is_none_that_is_put_back():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 3)).to(torch.bfloat16)
    batch = torch.randn(48, 12, dtype=torch.bfloat16), torch.arange(48) % 3
    seen = diagnose(model, batch, optimizer=lambda p: torch.optim.SGD(p, 1e-4)).findings
    assert [each.id for each in seen if "puts them back" in str(each)] == []
