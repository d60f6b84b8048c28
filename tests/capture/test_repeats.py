"""Loops: what is followed as a repeat is noted as if it had been looked at."""

import dataclasses

import pytest
import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture.repeats import Repeats


class Cell(nn.Module):
    """A recurrence by hand: products, parameters, writing in place, views, constants by turns."""

    def __init__(self):
        super().__init__()
        self.read, self.turn, self.tell = nn.Linear(5, 12), nn.Linear(12, 12), nn.Linear(12, 3)
        self.gain = nn.Parameter(torch.ones(12))

    def forward(self, x):
        h = x.new_zeros(len(x), 12)
        for t in range(x.shape[1]):
            h = h + torch.tanh(self.read(x[:, t]) + self.turn(h)) * self.gain
            h = h * (1 if t % 2 else 1.0)
            h[:, 0] = h[:, 0] * 2
            h = (h.neg().neg() * 0.5).tanh()
        return self.tell(h)


class Scan(nn.Module):
    """Pointwise recurrences over the positions, joined at the end."""

    def __init__(self):
        super().__init__()
        self.read, self.tell = nn.Linear(5, 8), nn.Linear(8, 3)

    def forward(self, x):
        u, kept = self.read(x), []
        h = torch.zeros_like(u[:, 0])
        for t in range(x.shape[1]):
            h = h * 0.9 + u[:, t]
            h = (h * 0.5 + 0.1).neg()
            kept.append(h)
        return self.tell(torch.stack(kept, 1).mean(1))


@pytest.mark.parametrize("kind", [Cell, Scan])
def test_a_repeat_is_noted_as_if_it_had_been_looked_at(kind, monkeypatch):
    followed, follow = [], Repeats.follow

    def counted(self, *call):
        followed.append(call)
        return follow(self, *call)

    def diagnosed():
        torch.manual_seed(0)
        batch = torch.randn(7, 9, 5), torch.randint(0, 3, (7,))
        return diagnose(kind(), batch, steps=2)

    monkeypatch.setattr(Repeats, "follow", counted)
    found = diagnosed()
    assert followed
    monkeypatch.setattr(Repeats, "is_known", lambda *_: False)
    looked_at = diagnosed()
    assert found.record.wiring == looked_at.record.wiring
    assert found.record.operations == looked_at.record.operations
    assert dataclasses.asdict(found.record) == dataclasses.asdict(looked_at.record)
    assert list(map(str, found.findings)) == list(map(str, looked_at.findings))
