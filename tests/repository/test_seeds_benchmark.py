"""The benchmark of engines compares trainings that are the same, and counts in the right sense."""

from __future__ import annotations

import pytest
import seeds
import timing
import torch
from support.training import experiment

from pytest_initcheck.backends import cores
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


def test_twice_as_fast_is_two(capsys):
    times = {"plain": [2.0, 4.0], "batched": [1.0, 2.0]}
    assert seeds.shown("net", times) == {"net, plain": 1, "net, batched": 0.5}
    assert "| batched | 2.00 | 2.00 to 2.00 |" in capsys.readouterr().out


def test_every_engine_starts_from_the_same_models(monkeypatch):
    monkeypatch.delenv("PYTEST_XDIST_WORKER_COUNT", raising=False)
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    times, told = seeds.timed(experiment(), 2, 2, 1)
    assert list(times) == ["by hand", "plain", *seeds.ENGINES]
    assert told.startswith("plain (the other seeds take")


def test_what_is_timed_on_some_seeds_is_counted_for_all(monkeypatch):
    now = [0.0]
    monkeypatch.setitem(timing.CLOCKS, "wall", lambda: now[0])

    def train(engine, prepared, models, numbers, tick):
        now[0] += len(models)
        return [], engine

    monkeypatch.setattr(seeds, "train", train)
    times, _ = seeds.timed(experiment(), 8, 2, 1)
    assert list(times) == ["by hand", "plain", *seeds.QUICK]
    assert [times[name] for name in ("plain", *seeds.QUICK)] == [[8.0], [8.0], [8.0]]


def test_the_paths_by_hand_are_those_of_escape(monkeypatch):
    monkeypatch.setattr(seeds, "BY_HAND", 2)
    ends = []

    class Noted(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            ends.append(self.param_groups[0]["params"][0].detach().clone())

    def noted(params):
        return Noted(params, lr=0.001, momentum=0.9)

    found = seeds.escape(seeds.quartic, 6.0, seeds.momentum, 100, noise=10.0, seeds=2)
    monkeypatch.setattr(seeds, "momentum", noted)
    seeds.paths_by_hand()
    torch.testing.assert_close(torch.stack([ends[99], ends[199]]), found.final)


@pytest.mark.parametrize("clock", timing.CLOCKS)
def test_what_comes_before_is_not_timed(clock, monkeypatch):
    now = [0.0]
    monkeypatch.setitem(timing.CLOCKS, clock, lambda: now[0])

    def pass_time(seconds):
        now[0] += seconds

    works = {"a": (lambda: pass_time(3.0), 1)}
    times = timing.take_turns(works, 2, clock=clock, before=lambda: pass_time(100.0))
    assert times == {"a": [3.0, 3.0]}
