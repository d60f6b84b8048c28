"""Residual streams are found whatever adds, with the weights that write them and their growth."""

import pytest
import torch
from support.streams import WIDTH, Stack, gathered
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.evidence.stream_growth import law_of

WAYS = {
    "+": lambda x, y: x + y,
    "branch first": lambda x, y: y + x,
    "+=": lambda x, y: x.clone().add_(y),
    "torch.add": lambda x, y: torch.add(x, y, alpha=0.5),
    "-": lambda x, y: x - y,
    "addcmul": lambda x, y: torch.addcmul(x, torch.full((WIDTH,), 0.5), y),
    "dropout, scale, reshape": lambda x, y: x + 0.5 * nn.Dropout(0.1)(y).reshape(x.shape),
    "scaled stream": lambda x, y: 2 * x + y,
    "gated": lambda x, y: x + y * torch.sigmoid(y.mean(-1, keepdim=True)),
}


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_whatever_adds(way):
    (stream,) = gathered(Stack(WAYS[way])).streams

    assert [one.owner for one in stream.additions] == ["blocks.0", "blocks.1", "blocks.2"]
    assert [w.parameter for w in stream.writers] == [f"blocks.{i}.two.weight" for i in range(3)]
    assert stream.readers == tuple(f"blocks.{i}.one.weight" for i in range(3))
    assert stream.name == "blocks"


def test_a_product_that_adds_is_its_own_writer():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            return torch.addmm(x, torch.relu(self.one(x)), self.two.weight)

    (stream,) = gathered(nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 3))).streams

    assert [w.parameter for w in stream.writers] == ["0.two.weight", "1.two.weight"]


def test_branches_side_by_side_both_write():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.LayerNorm(WIDTH)
            self.a, self.b = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            y = self.norm(x)
            return x + self.a(y) + self.b(torch.relu(y))

    (stream,) = gathered(nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 3))).streams

    assert [w.parameter for one in stream.additions for w in one.writers] == [
        "0.a.weight",
        "0.b.weight",
        "1.a.weight",
        "1.b.weight",
    ]


def test_a_normalised_stream_is_one():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.layer = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH)

        def forward(self, x):
            return self.norm(x + torch.relu(self.layer(x)))

    (stream,) = gathered(nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 3))).streams

    assert len(stream.additions) == 2
    assert not any(writer.is_normalised for writer in stream.writers)


def test_what_stands_behind_a_writer_is_told():
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
            self.other, self.gain = nn.Linear(WIDTH, WIDTH), nn.Parameter(torch.full((WIDTH,), 0.1))

        def forward(self, x):
            x = x + self.norm(self.layer(x))
            return x + 0.5 * (self.gain * self.other(x))

    (stream,) = gathered(nn.Sequential(Block(), Block(), nn.Linear(WIDTH, 3))).streams
    first, second, *_ = stream.writers

    assert (first.is_normalised, first.gains) == (True, ("0.norm.weight", "0.norm.bias"))
    assert (second.is_normalised, second.gains) == (False, ("0.gain",))
    assert second.factor == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 3)),
        lambda: nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.GELU(approximate="tanh")),
    ],
    ids=["dense", "no layer between"],
)
def test_sums_without_a_branch_are_no_stream(make):
    assert gathered(make()).streams == ()


@pytest.mark.parametrize(
    ("values", "law"),
    [
        ([1.0, 1.1, 1.2, 1.3], "constant"),
        ([1.0, 0.2, 0.1], "constant"),
        ([1.0, 2.0, 3.0, 4.0, 5.0], "linear"),
        ([1.0, 2.1, 3.8, 8.2, 16.0], "exponential"),
        ([0.0, 1.0, 2.0], "linear"),
        ([1.0, 4.0], "linear"),
    ],
)
def test_the_law_of_growth(values, law):
    assert law_of(values) == law


def test_the_record_tells_the_growth():
    torch.manual_seed(0)
    found = diagnose(Stack(lambda x, y: x + y), (torch.randn(32, WIDTH), torch.arange(32) % 3))
    (stream,) = found.record.streams

    assert stream.name == "blocks"
    assert stream.writers == tuple(f"blocks.{i}.two.weight" for i in range(3))
    assert len(stream.variance) == 4
    assert stream.growth[0] == 1
    x = torch.randn(4096, WIDTH)
    assert stream.variance[0] == pytest.approx(float(x.var()), rel=0.2)
    assert list(stream.variance) == sorted(stream.variance)
    assert found.after.streams == ()
