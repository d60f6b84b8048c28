"""The plain loop in several processes: one model each, as many at a time as there are cores.

Every seed trains with the random streams that the plain loop gives it, so that all numbers are the
same bit for bit, dropout included, where the plain loop computes in one thread, too.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.capture.randomness import stream_positions
from pytest_initcheck.training import loop
from pytest_initcheck.training.carried import bring_back, carried, from_bits, held, not_carried
from pytest_initcheck.training.forks import Unsuited, in_processes, no_fork
from pytest_initcheck.training.history import History
from pytest_initcheck.training.loop import Tick
from pytest_initcheck.training.prepare import Prepared
from pytest_initcheck.training.workers import sharing


def obstacle(prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]) -> str | None:
    """Why the models cannot be trained in several processes, if so."""
    if reason := no_fork(prepared.device):
        return reason
    if len(models) < 2:
        return "there is one model"
    if cores() < 2:
        return "there is one core for this process"
    return "the models share modules or tensors" if sharing(models) else None


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train several models at a time, as the plain loop would.

    Raises:
        Unsuited: they have to be trained in this process; nothing has changed.
        InitcheckError: what the plain loop raises, or how the process of a seed ended.
    """
    if reason := obstacle(prepared, models, seeds):
        raise Unsuited(reason)
    last = len(models) - 1

    def work(place: int, counted: Tick) -> tuple[History, Any, Any]:
        model, seed = models[place], seeds[place]
        watched = _Watched(model, prepared.loss, counted)
        (history,) = loop.train(prepared, [model], [seed], watched)
        watched.look()
        return history, carried(model), stream_positions() if place == last else None

    found = in_processes(work, [f"seed {seed}" for seed in seeds], tick)
    for model, (_, data, _) in zip(models, found, strict=True):
        bring_back(model, data)
    _move_streams(found[last][2])
    return [history for history, _, _ in found]


class _Watched:
    """A tick that ends training in a child whose changes could not be brought back."""

    def __init__(self, model: nn.Module, loss: object, tick: Tick) -> None:
        self.model, self.loss, self.tick, self.ticks = model, loss, tick, 0
        self.before = self._state()

    def __call__(self, done: int) -> None:
        """Count what is done; look after the first epoch."""
        self.ticks += 1
        if self.ticks == 1:
            self.look()
        self.tick(done)

    def look(self) -> None:
        """Compare with what there was.

        Raises:
            Unsuited: something else than parameters, buffers and plain values has changed.
        """
        after = self._state()
        names = self.before.keys() | after.keys()
        changed = sorted(name for name in names if self.before.get(name) != after.get(name))
        if changed:
            raise Unsuited(f"a step changes {changed[0]}, which stays in the process of its seed")

    def _state(self) -> dict[str, object]:
        loss = held(self.loss) if isinstance(self.loss, nn.Module) else {}
        return {**not_carried(self.model), **{f"{name} (loss)": loss[name] for name in loss}}


def _move_streams(positions: tuple[Any, ...]) -> None:
    """Put the random streams where the plain loop leaves them."""
    python, numpy, cpu = positions[:3]
    random.setstate(python)
    if numpy and "numpy" in sys.modules:
        kind, keys, *rest = numpy
        np.random.set_state((kind, np.frombuffer(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(from_bits(cpu, torch.get_rng_state()))
