"""What a look leaves behind: nothing that waits for a collection of garbage, nor an output."""

from __future__ import annotations

import gc

import pytest
import torch
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef

from pytest_initcheck import diagnose
from pytest_initcheck.capture.signal_stats import SignalRecorder


class Net(nn.Module):
    """By functions the tracer sees every pass, by modules their hooks do."""

    def __init__(self, act, outputs):
        super().__init__()
        self.first, self.act, self.last = nn.Linear(8, 16), act, nn.Linear(16, 3)
        self.outputs = outputs

    def forward(self, x):
        out = self.last(self.act(self.first(x)))
        self.outputs(StorageWeakRef(out.untyped_storage()))
        return out


@pytest.fixture
def no_collection():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("act", [nn.ReLU(), torch.relu], ids=["modules", "functions"])
def test_later_looks_leave_neither_a_recorder_nor_an_output(act):
    made, held = [], []

    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            recorders = sum(type(one) is SignalRecorder for one in gc.get_objects())
            outputs = sum(not storage.expired() for storage in made)
            held.append((recorders, outputs))
            return super().step(closure)

    model = Net(act, lambda storage: made.append(storage))
    batch = torch.randn(16, 8), torch.arange(16) % 3
    diagnose(model, batch, optimizer=lambda p: Counting(p, 0.1))

    # What the first look has seen is asked about after the last.
    assert held == [held[0]] * 5
    assert len(made) > 5
