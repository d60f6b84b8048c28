"""What the tests of inputs share: a small classifier and its data."""

from __future__ import annotations

import pytest
import torch
from torch import nn


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


@pytest.fixture
def net():
    return nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))


@pytest.fixture
def data():
    return torch.randn(32, 20), torch.randint(0, 10, (32,))
