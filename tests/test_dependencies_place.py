"""Whether what is predicted for a sample depends on its place in the batch."""

from __future__ import annotations

import pytest
import torch
from support_starts import named, told
from torch import nn

from pytest_initcheck import diagnose

SAMPLES, STEPS, WIDTH = 16, 6, 8


class Placed(nn.Module):
    """A pooled sequence with a table of positions that is added along ``axis``."""

    def __init__(self, axis, *, noise=0.0):
        super().__init__()
        self.body, self.head = nn.Linear(4, WIDTH), nn.Linear(WIDTH, 3)
        self.register_buffer("table", torch.randn(64, WIDTH))
        self.axis, self.noise = axis, noise

    def forward(self, x):
        there = self.body(x)
        table = self.table[: x.shape[self.axis]]
        there = there + (table[:, None] if self.axis == 0 else table)
        there = there + self.noise * torch.randn_like(there)
        return self.head(torch.relu(there).mean(1))


class Weighted(nn.Module):
    """Weights by row, as of a mask that was made for one batch."""

    def __init__(self):
        super().__init__()
        self.body = nn.Linear(4, 3)
        self.register_buffer("weight", torch.linspace(0.5, 1.5, SAMPLES)[:, None])

    def forward(self, x):
        return self.body(x.mean(1)) * self.weight


class Codes(nn.Module):
    """An auto-decoder has a code for each of its samples."""

    def __init__(self):
        super().__init__()
        self.codes, self.body = nn.Parameter(torch.randn(SAMPLES, 4)), nn.Linear(8, 3)

    def forward(self, x):
        return self.body(torch.cat([x.mean(1), self.codes], 1))


class Normed(nn.Module):
    """Statistics of the batch are no place in it."""

    def __init__(self):
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)

    def forward(self, x):
        return self.head(torch.relu(self.norm(self.body(x.mean(1)))))


def batch(samples=SAMPLES):
    x = torch.randn(samples, STEPS, 4)
    return x, x[:, 0].argmax(1) % 3


FAULTS = {"positions along the batch": lambda: Placed(0), "weights by row": Weighted}
SOUND = {
    "positions along the sequence": lambda: Placed(1),
    "noise": lambda: Placed(1, noise=0.5),
    "codes": Codes,
    "batch norm": Normed,
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_sample_that_is_another_at_another_place_is_an_error(name):
    torch.manual_seed(0)
    found = named(diagnose(FAULTS[name](), batch()), "IC805")
    assert found.severity == "error"
    assert "place in the batch" in found.cause


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("samples", [SAMPLES, 5, 2])
def test_what_is_the_same_at_every_place_is_none(name, samples):
    if name == "codes" and samples != SAMPLES:
        pytest.skip("codes are made for one batch")
    torch.manual_seed(0)
    assert "IC805" not in told(diagnose(SOUND[name](), batch(samples)))


def test_noise_beside_a_place_leaves_the_question_open():
    torch.manual_seed(0)
    found = diagnose(Placed(0, noise=0.5), batch())
    assert "IC805" not in told(found)
    assert any("draws numbers" in reason for reason in found.dependencies().not_asked)


def test_the_place_is_seen_behind_forward_too():
    torch.manual_seed(0)

    def forward(model, data):
        return nn.functional.cross_entropy(model(data[0]), data[1])

    found = named(diagnose(Placed(0), batch(), forward=forward), "IC805")
    assert "place in the batch" in found.cause
