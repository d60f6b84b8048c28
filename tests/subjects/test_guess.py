"""What a model takes, guessed from the first layer that says it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pytest_initcheck.subjects.guess import fitting, guesses, output_of


class Timm(nn.Conv2d):
    default_cfg = {"input_size": (3, 24, 24)}  # noqa: RUF012 - as timm has it


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 2)

    def forward(self, a, b):
        return self.layer(a + b)


@pytest.mark.parametrize(
    ("model", "shape", "why"),
    [
        (nn.Linear(6, 2), (6,), "the model, a Linear"),
        (nn.Conv1d(2, 3, 3), (2, 64), "the model, a Conv1d"),
        (nn.Conv2d(2, 3, 3), (2,), "the model, a Conv2d"),
        (nn.Conv3d(2, 3, 3), (2, 8, 32, 32), "the model, a Conv3d"),
        (nn.Sequential(nn.GRU(5, 4)), (16, 5), "0, a GRU"),
        (nn.TransformerEncoderLayer(8, 2, 16), (16, 8), "a TransformerEncoderLayer"),
        (nn.Sequential(nn.ReLU(), nn.Embedding(9, 4)), (), "1, an Embedding"),
        (Timm(3, 4, 3), (3, 24, 24), "default_cfg"),
    ],
)
def test_the_likeliest_comes_first(model, shape, why):
    first = next(iter(guesses(model)))
    assert why in first.why
    (spec,) = first.inputs
    assert spec.shape[1 : 1 + len(shape)] == shape
    assert spec.kind == ("int64" if "Embedding" in why else "")
    data = torch.zeros(spec.shape, dtype=torch.int64 if spec.kind else torch.float32)
    assert output_of(model, data) is not None


def test_every_argument_that_is_needed_gets_a_name():
    first = next(iter(guesses(Two())))
    assert [spec.name for spec in first.inputs] == ["a", "b"]


def test_a_layer_that_does_not_say_yet_what_it_takes():
    assert list(guesses(nn.LazyLinear(3))) == []
    assert list(guesses(nn.ReLU())) == []


def test_the_first_that_runs_is_taken():
    model = nn.Linear(6, 2)
    drawn = [(name, torch.zeros(2, width)) for name, width in (("five", 5), ("six", 6))]
    found = fitting(model, drawn)
    assert found is not None
    assert found[0] == "six"
    assert fitting(model, drawn[:1]) is None
