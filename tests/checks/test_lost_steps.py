"""IC605: what of the gradient lies on elements that the steps leave bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch
from corpus.contract import lost
from corpus.contract.builders import groups
from support.state import changed, fingerprint
from torch import nn

from pytest_initcheck import diagnose


def found(model, batch, optimizer):
    diagnosis = diagnose(model, batch, loss_fn=nn.CrossEntropyLoss(), optimizer=optimizer, steps=5)
    return next((f for f in diagnosis.findings if f.id == "IC605"), None)


def by_hand(model, batch, optimizer, further):
    """The share after five steps, and ``further`` ones with the last gradient."""
    starts = [p.detach().clone() for p in model.parameters()]
    held = optimizer(model.parameters())
    for step in range(6):
        held.zero_grad()
        nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        if step < 5:
            held.step()
    for _ in range(further):
        held.step()
    squares = [p.grad.double().square() for p in model.parameters()]
    same = [p.detach() == s for p, s in zip(model.parameters(), starts, strict=True)]
    stood = sum(float(g[is_same].sum()) for g, is_same in zip(squares, same, strict=True))
    return stood / sum(float(g.sum()) for g in squares)


@pytest.mark.parametrize("rate", [1e-4, 1e-5])
def test_the_share_is_what_five_steps_and_a_hundred_of_the_last_gradient_leave(rate):
    torch.manual_seed(0)
    model, batch = lost.halved(), lost.halves()
    adam = lost.by(torch.optim.Adam, rate)["optimizer"]
    told = found(model, batch, adam)
    assert told is not None
    assert told.measured == pytest.approx(by_hand(copy.deepcopy(model), batch, adam, 100), rel=0.02)


def test_the_steps_that_ask_for_more_are_taken_back():
    torch.manual_seed(0)
    model, batch = lost.halved(), lost.halves()
    before = fingerprint(model)
    assert found(model, batch, lost.by(torch.optim.SGD, 1e-4)["optimizer"]) is not None
    assert not changed(before, fingerprint(model))


def test_a_few_layers_of_sixteen_bits_among_others_are_a_small_part():
    torch.manual_seed(0)
    x, y = groups()
    small = nn.Linear(64, 10)

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(20, 64).bfloat16(), small

        def forward(self, x):
            return self.last(torch.relu(self.first(x.bfloat16())).float())

    assert found(Mixed(), (x, y), lost.by(torch.optim.SGD, 1e-3)["optimizer"]) is None


def test_an_optimiser_with_a_closure_takes_no_more_steps():
    torch.manual_seed(0)
    calls = []

    class Closed(torch.optim.SGD):
        def step(self, closure):
            calls.append(1)
            return super().step(closure)

    told = found(lost.halved(), lost.halves(), lambda p: Closed(p, 1e-5))
    assert told is not None
    assert len(calls) == 5
