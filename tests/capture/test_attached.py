"""A look at modules alone sees what a traced one sees, and is taken only where that is so."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck.capture import snapshot
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.snapshot import SnapshotTaker


class Shared(nn.Module):
    """One rectifier, in place, behind two layers, one of which is called twice."""

    def __init__(self):
        super().__init__()
        self.first, self.again, self.act = nn.Linear(6, 6), nn.Linear(6, 6), nn.ReLU(inplace=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = self.act(self.first(x))
        for _ in range(2):
            x = x + self.act(self.again(x))
        return self.head(x)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        return self.head(functional.relu(self.body(x)))


class Spare(nn.Module):
    """Has a layer that does not run at first."""

    def __init__(self):
        super().__init__()
        self.body, self.spare, self.head = (nn.Linear(6, n) for n in (6, 6, 3))
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.head(self.body(x) if self.calls == 1 else self.spare(x))


class Reading(nn.Module):
    """A layer that reads its input under another name."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(input=x)


ATTACHED = {
    "dense": lambda: nn.Sequential(nn.Linear(6, 6), nn.Tanh(), nn.Linear(6, 3)),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 6)),
        nn.Conv1d(1, 4, 3),
        nn.BatchNorm1d(4),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(16, 3),
        nn.LogSoftmax(1),
    ),
    "shared": Shared,
}
TRACED = {
    "functional": Functional,
    "spare": Spare,
    "by name": Reading,
    "recurrent": lambda: nn.Sequential(nn.RNN(6, 3), Last()),
    "wide": lambda: nn.Sequential(nn.Unflatten(1, (2, 3)), nn.Linear(3, 3), nn.Flatten()),
}


class Last(nn.Module):
    def forward(self, x):
        return x[0]


def first_looked(make):
    """A model that was looked at once, and who looked."""
    torch.manual_seed(0)
    model, batch = make(), (torch.randn(12, 6), torch.randint(3, (12,)))
    taker = SnapshotTaker(Program(model, batch))
    taker.take(0)
    return model, batch, taker


@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("name", ATTACHED)
def test_it_sees_what_a_traced_look_sees(monkeypatch, name, full):
    model, batch, taker = first_looked(ATTACHED[name])
    twin = SnapshotTaker(Program(copy.deepcopy(model), batch))
    other = twin.take(1, full=full).snapshot
    monkeypatch.setattr(snapshot, "Tracer", None)
    mine = taker.take(1, full=full).snapshot
    assert mine.loss == other.loss
    assert list(mine.outputs) == list(other.outputs)
    for layer, seen in mine.outputs.items():
        assert (seen.stats, seen.gradient) == (other.outputs[layer].stats, seen.gradient)
        assert seen.gradient == other.outputs[layer].gradient
    for key, site in mine.sites.items():
        np.testing.assert_array_equal(site.slope, other.sites[key].slope)
        assert (site.calls, site.width) == (other.sites[key].calls, other.sites[key].width)
        assert (site.output, site.gradient) == (other.sites[key].output, other.sites[key].gradient)
        assert site.is_inside == other.sites[key].is_inside
    assert mine.inputs == other.inputs
    assert not full or list(mine.sites) == list(other.sites)


@pytest.mark.parametrize("name", TRACED)
def test_where_modules_are_not_all_there_is_every_look_is_traced(monkeypatch, name):
    _, _, taker = first_looked(TRACED[name])
    monkeypatch.setattr(snapshot, "Tracer", None)
    with pytest.raises(TypeError):
        taker.take(1)


def test_it_leaves_no_hook_behind():
    model, _, taker = first_looked(ATTACHED["shared"])
    taker.take(1)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_dropout_of_a_function_is_left_out_of_every_look():
    class Dropped(Functional):
        def forward(self, x):
            return self.head(functional.dropout(self.body(x), 0.9))

    _, _, taker = first_looked(Dropped)
    assert len({taker.take(step).snapshot.loss for step in (1, 2)}) == 1
