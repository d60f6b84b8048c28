"""Diagnosing inside of an outer autocast: steps are seen, and its cache is as it was."""

from __future__ import annotations

import torch
from torch import nn

from pytest_initcheck import diagnose, learns


def test_steps_inside_of_an_outer_autocast_move_the_loss():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))
    data = torch.randn(32, 20), torch.randint(0, 10, (32,))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(data[0])
        found = diagnose(model, data, optimizer=lambda p: torch.optim.SGD(p, lr=0.5))
        fit = learns(model, data)
        assert torch.is_autocast_cache_enabled()
    assert len(set(found.losses)) == len(found.losses)
    assert found.losses[-1] < 0.9 * found.losses[0]
    assert fit.outcome != "fails"
