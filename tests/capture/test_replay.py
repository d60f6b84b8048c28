"""A look that follows the first one measures what a look of its own would have measured."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.snapshot import SnapshotTaker


class Routed(nn.Module):
    """Takes another way in each call: as many operators of the same kind, or none of them."""

    def __init__(self, ways):
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(6, 6) for name in "abcd"})
        self.head = nn.Linear(6, 3)
        self.ways, self.calls = ways, 0

    def forward(self, x):
        for name in self.ways[self.calls % len(self.ways)]:
            x = torch.tanh(self.layers[name](x * 1.0))
        self.calls += 1
        return self.head(x)


class Swapped(nn.Module):
    """The same operators in the same module, on other data: only what they read tells."""

    def __init__(self):
        super().__init__()
        self.first, self.second = (nn.Parameter(torch.randn(6, 6)) for _ in range(2))
        self.head, self.calls = nn.Linear(6, 3), 0

    def forward(self, x):
        a, b = x @ self.first, x @ self.second
        self.calls += 1
        return self.head(torch.relu(a) + 0.5 * b if self.calls == 1 else torch.relu(b) + 0.5 * a)


class Held(nn.Module):
    """A weight that no module registered."""

    def __init__(self):
        super().__init__()
        self.hidden = [nn.Linear(6, 6)]
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(torch.relu(self.hidden[0](x)))


class Recomputed(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 6), nn.GELU(), nn.Linear(6, 6), nn.SiLU())
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(checkpoint(self.body, x, use_reentrant=False))


def recurrent():
    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell, self.head = nn.LSTM(6, 5, batch_first=True), nn.Linear(5, 3)

        def forward(self, x):
            return self.head(self.cell(x.unsqueeze(1).repeat(1, 4, 1))[0][:, -1])

    return Last()


MODELS = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True), nn.Linear(6, 3)),
    "normalised": lambda: nn.Sequential(
        nn.Linear(6, 6), nn.BatchNorm1d(6), nn.ELU(), nn.Linear(6, 3)
    ),
    "recurrent": recurrent,
    "recomputed": Recomputed,
    "unregistered": Held,
    "same way": lambda: Routed(["ab"]),
    "other layer": lambda: Routed(["ab", "ac"]),
    "shorter": lambda: Routed(["abc", "a"]),
    "longer": lambda: Routed(["a", "abcd"]),
    "other first": lambda: Routed(["ab", "cb"]),
    "swapped": Swapped,
}


def second_looks(make):
    """The second look by the taker of the first, and by one of its own, from the same state."""
    torch.manual_seed(0)
    model, batch = make(), (torch.randn(12, 6), torch.randint(3, (12,)))
    taker = SnapshotTaker(Program(model, batch))
    taker.take(0)
    twin = copy.deepcopy(model)
    return taker.take(1).snapshot, SnapshotTaker(Program(twin, batch)).take(1).snapshot


@pytest.mark.parametrize("name", MODELS)
def test_the_second_look_sees_what_a_look_of_its_own_sees(name):
    mine, other = second_looks(MODELS[name])
    assert list(mine.outputs) == list(other.outputs)
    assert mine.outputs == other.outputs
    assert list(mine.sites) == list(other.sites)
    for key, site in mine.sites.items():
        for field in ("samples", "flat", "saturated", "slope"):
            np.testing.assert_array_equal(getattr(site, field), getattr(other.sites[key], field))
        assert (site.output, site.gradient) == (other.sites[key].output, other.sites[key].gradient)
        assert site.is_inside == other.sites[key].is_inside
    assert {n: p.gradient for n, p in mine.parameters.items()} == {
        n: p.gradient for n, p in other.parameters.items()
    }


@pytest.mark.parametrize("name", ["dense", "recurrent"])
def test_between_the_first_look_and_the_last_only_what_checks_read_is_measured(name):
    torch.manual_seed(0)
    model, batch = MODELS[name](), (torch.randn(12, 6), torch.randint(3, (12,)))
    taker = SnapshotTaker(Program(model, batch))
    taker.take(0)
    full, brief = taker.take(1).snapshot, taker.take(1, full=False).snapshot
    assert (brief.inputs, brief.targets, brief.result) == (None, None, None)
    assert brief.output_stats == {}
    assert full.output_stats
    assert set(brief.sites) <= set(full.sites)
    for layer, output in brief.outputs.items():
        assert output.gradient.histogram is None
        assert output.gradient.rms == full.outputs[layer].gradient.rms
        assert output.variation in (None, full.outputs[layer].variation)
    for key, site in brief.sites.items():
        np.testing.assert_array_equal(site.flat, full.sites[key].flat)
    for parameter, seen in brief.parameters.items():
        known = full.parameters[parameter].gradient
        assert (seen.gradient.min, seen.gradient.max) == (known.min, known.max)
