"""Whether what is predicted for a sample depends on its place in the batch."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from support.starts import named, told
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


class Chunked(nn.Module):
    """Ghost batches: each quarter of the batch is normalised by itself."""

    def __init__(self):
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(4), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(torch.cat([self.norm(part) for part in x.mean(1).chunk(4)]))


class Halved(nn.Module):
    """Source and target halves with a normalisation each."""

    def __init__(self):
        super().__init__()
        self.one, self.two, self.head = nn.BatchNorm1d(4), nn.BatchNorm1d(4), nn.Linear(4, 3)

    def forward(self, x):
        first, second = x.mean(1).chunk(2)
        return self.head(torch.cat([self.one(first), self.two(second)]))


class Drawing(nn.Module):
    """Noise from a source of its own."""

    def __init__(self, draw):
        super().__init__()
        self.head, self.draw = nn.Linear(4, 3), draw

    def forward(self, x):
        there = x.mean(1)
        return self.head(there + 0.1 * self.draw(there))


class Owner(Drawing):
    """Noise from a generator that the model holds."""

    def __init__(self):
        super().__init__(None)
        self.dice = torch.Generator().manual_seed(0)

    def forward(self, x):
        there = x.mean(1)
        return self.head(there + 0.1 * torch.randn(there.shape, generator=self.dice))


class Stateful(nn.Module):
    """The state that a stream of batches hands on, a row for each sample."""

    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.GRU(4, 12, batch_first=True), nn.Linear(12, 3)
        self.state = 0.3 * torch.randn(1, SAMPLES, 12)

    def forward(self, x):
        outputs, state = self.cell(x, self.state)
        self.state = state.detach()
        return self.head(outputs[:, -1])


def by_numpy(there):
    return torch.from_numpy(np.random.randn(*there.shape)).float()


def by_python(there):
    return torch.tensor([[random.gauss(0, 1)] for _ in there])


MEANT = {
    "ghost batches": Chunked,
    "a norm for each half": Halved,
    "NumPy's dice": lambda: Drawing(by_numpy),
    "Python's dice": lambda: Drawing(by_python),
    "own dice": Owner,
    "a state": Stateful,
}


@pytest.mark.parametrize("name", MEANT)
def test_blocks_dice_and_states_are_no_places(name):
    torch.manual_seed(0)
    assert "IC805" not in told(diagnose(MEANT[name](), batch()))


def test_rows_that_may_be_the_steps_of_one_sequence_are_not_asked():
    class Trend(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(5, 3)

        def forward(self, x):
            time = torch.linspace(0, 1, len(x))[:, None]
            return self.head(torch.cat([x, time], 1))

    torch.manual_seed(0)
    x = torch.randn(SAMPLES, 4)
    found = diagnose(Trend(), (x, x.argmax(1) % 3))
    assert "IC805" not in told(found)
    assert any("one sequence" in reason for reason in found.dependencies().not_asked)
