"""Those who save one state hold one copy of it; the next state gets a copy of its own."""

from __future__ import annotations

import weakref

import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture import movement, restore
from pytest_initcheck.capture import shared_copy as module
from pytest_initcheck.capture.movement import copies
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.shared_copy import shared_copy


def test_what_is_saved_twice_is_held_once():
    layer = nn.Linear(3, 2)
    with preserved(layer), preserved(layer):
        first, second = copies(layer), copies(layer)
    assert all(first[name] is second[name] for name in first)


def test_what_nobody_has_written_to_is_not_compared():
    weight = torch.ones(3)
    with preserved(weight), preserved(weight, is_unwritten=True) as inner:
        weight[0] = 2.0
        inner.put_back()
        assert weight.tolist() == [1.0, 1.0, 1.0]
        weight[1] = 3.0
        with preserved(weight):
            weight.zero_()
        assert weight.tolist() == [1.0, 3.0, 1.0]


def test_of_several_states_that_are_held_the_latest_is_that_of_now():
    weight = torch.ones(3)
    with preserved(weight):
        weight[0] = 2.0
        with preserved(weight), preserved(weight, is_unwritten=True):
            weight.zero_()
        assert weight.tolist() == [2.0, 1.0, 1.0]


def test_what_is_written_past_a_tensor_gets_a_copy_of_its_own():
    weight = nn.Parameter(torch.ones(3))
    before = shared_copy(weight)
    weight.data[0] = 2.0
    after = shared_copy(weight)
    assert before.tolist() == [1.0, 1.0, 1.0]
    assert after.tolist() == [2.0, 1.0, 1.0]


def test_states_are_told_apart_by_their_bits():
    values = torch.tensor([float("nan"), 0.0])
    before = shared_copy(values)
    assert shared_copy(values) is before
    values[1] = -0.0
    assert shared_copy(values) is not before


def test_a_copy_ends_with_those_who_hold_it():
    values = torch.ones(3)
    held = shared_copy(values)
    assert id(values) in module._held
    del held
    assert id(values) not in module._held


def test_a_diagnosis_holds_one_copy_of_the_parameters(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    kept, most = [], []

    def noted(tensor):
        copy = shared_copy(tensor)
        kept.append(weakref.ref(copy))
        return copy

    monkeypatch.setattr(restore, "shared_copy", noted)
    monkeypatch.setattr(movement, "shared_copy", noted)
    model.register_forward_hook(
        lambda *_: most.append(len({id(ref()) for ref in kept if ref() is not None}))
    )
    diagnose(model, (torch.randn(16, 6), torch.randint(0, 3, (16,))))
    assert max(most) == len(list(model.parameters()))
