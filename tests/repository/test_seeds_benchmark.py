"""The benchmark of engines compares trainings that are the same, and counts in the right sense."""

from __future__ import annotations

import pytest
import seeds
import timing
import torch
from support.training import experiment

from pytest_initcheck.training.build import build_models
from pytest_initcheck.training.engines import train
from pytest_initcheck.training.prepare import prepare


def test_the_loop_by_hand_is_the_plain_loop():
    prepared = prepare(experiment())
    mine, theirs = build_models(prepared, [0, 1]), build_models(prepared, [0, 1])
    seeds.by_hand(prepared, mine, [0, 1])
    train("plain", prepared, theirs, [0, 1], lambda done: None)
    for one, other in zip(mine, theirs, strict=True):
        torch.testing.assert_close(one.state_dict(), other.state_dict(), rtol=0, atol=0)


def test_twice_as_fast_is_two():
    times = {"plain": [2.0, 4.0], "batched": [1.0, 2.0]}
    assert dict(seeds.rows(times)) == {"plain": (1, 1, 1), "batched": (2, 2, 2)}


def test_every_engine_starts_from_the_same_models():
    times, told = seeds.timed(experiment(), 2, 1)
    assert list(times) == ["by hand", *seeds.ENGINES]
    assert told.startswith("plain (12 steps are too few")


@pytest.mark.parametrize("clock", timing.CLOCKS)
def test_what_comes_before_is_not_timed(clock, monkeypatch):
    now = [0.0]
    monkeypatch.setitem(timing.CLOCKS, clock, lambda: now[0])

    def pass_time(seconds):
        now[0] += seconds

    works = {"a": (lambda: pass_time(3.0), 1)}
    times = timing.take_turns(works, 2, clock=clock, before=lambda: pass_time(100.0))
    assert times == {"a": [3.0, 3.0]}
