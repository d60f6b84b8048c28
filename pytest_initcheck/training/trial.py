"""The engine "auto": the first seed is trained plainly and timed, the others as is fastest.

Nothing is lost but a trial of a few steps of a stack, which leaves no trace: the first seed is one
of those that were asked for. What processes gain follows from their number.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training import batched, loop, processes, threads
from pytest_initcheck.training.attributes import plain_attributes
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.history import History
from pytest_initcheck.training.prepare import Prepared, shortened
from pytest_initcheck.training.workers import worker_count

# Seconds of the plain loop below which another engine has nothing to gain that anyone would notice.
_WORTHWHILE = 1.0
_WARM_UP, _MOST = 1, 20  # Batches of a trial.
_FEWEST = 3
# What a trial may cost of what is left: no training becomes much slower by being tried.
_BUDGET = 0.03
# The plain loop repeats bit for bit, and less than that is noise of the clock.
_GAIN = 1.1


@dataclass(frozen=True)
class EngineTrial:
    """What part of the plain loop's time an engine takes, or why it cannot be taken."""

    name: str
    share: float = math.inf
    refused: str = ""

    @property
    def told(self) -> str:
        """In words."""
        if self.refused:
            return f"{self.name}: {self.refused}"
        return f"{self.name}: {self.share:.2g} of the plain loop's time"


def first_of(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: loop.Tick
) -> tuple[list[History], float]:
    """Train the first model plainly; also the seconds that it took."""
    start = time.perf_counter()
    histories = loop.train(prepared, models[:1], seeds[:1], tick)
    return histories, time.perf_counter() - start


def fastest(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], seconds: float
) -> tuple[str, str]:
    """The engine to take for models of which the plain loop takes ``seconds`` each, and why."""
    if not models:
        return "plain", "there is one model"
    if seconds * len(models) < _WORTHWHILE:
        return "plain", f"the other seeds take {seconds * len(models):.1g} s"
    try:
        trials = _trials(prepared, models, seeds, seconds)
    except InitcheckError as error:
        # The plain loop says it itself, of the first seed that fails and all of its data.
        return "plain", str(error)
    best = min(trials, key=lambda trial: trial.share)
    name = best.name if best.share * _GAIN < 1 else "plain"
    return name, "; ".join(trial.told for trial in trials)


def _trials(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], seconds: float
) -> list[EngineTrial]:
    if len(models) < 2:
        return [EngineTrial("processes", refused="one model is left")]
    step = seconds / (prepared.steps * prepared.experiment.epochs)
    affordable = _BUDGET * seconds * len(models) / step
    reason = processes.obstacle(prepared, models, seeds)
    stacked = _stacked(prepared, models, seeds, affordable, forked=not reason)
    if not reason:
        return [stacked, _forked(prepared, models, seeds, affordable)]
    others = [stacked, EngineTrial("processes", refused=reason)]
    if reason := threads.obstacle(prepared, models, seeds):
        return [*others, EngineTrial("threads", refused=reason)]
    return [*others, _threaded(prepared, models, seeds, affordable)]


def _ignore(done: int) -> None:
    """A tick that nobody sees."""


def _steps(affordable: float, models: int) -> int:
    """How many batches a trial may take in which so many models are trained in all."""
    return min(int(affordable / models) - _WARM_UP, _MOST)


def _rounds(jobs: int, workers: int) -> float:
    """The time of some jobs on some workers, over that of one after the other."""
    return -(-jobs // workers) / jobs


def _stacked(
    prepared: Prepared,
    models: Sequence[nn.Module],
    seeds: Sequence[int],
    affordable: float,
    forked: bool,
) -> EngineTrial:
    """A stack sees the attributes of its first model alone."""
    if prepared.device.type == "cpu" and len(models) < batched.SMALLEST:
        return EngineTrial("batched", refused=f"{len(models)} models are too few for a stack")
    stacks = batched.parts(prepared, models)
    part = stacks[0]
    own, numbers = models[part], seeds[part]
    steps = _steps(affordable, 1 + len(own))
    if steps < _FEWEST:
        return EngineTrial("batched", refused="there are too few steps to try it")
    attributes = [plain_attributes(model) for model in models]
    if any(each != attributes[0] for each in attributes):
        return EngineTrial("batched", refused="the models differ in attributes that are no tensors")

    def plainly(cut: Prepared) -> list[History]:
        return loop.train(cut, own[:1], numbers[:1], _ignore)

    def together(cut: Prepared) -> list[History]:
        histories = batched.tried(cut, own, numbers)
        if plain_attributes(own[0]) != attributes[0]:
            raise InitcheckError("a step changes attributes that are no tensors")
        return histories

    # Without processes stacks wait for each other, as their steps are mostly Python.
    workers = worker_count(len(stacks)) if forked else 1
    rounds = _rounds(len(stacks), workers)
    return _tried(
        "batched",
        engine=together,
        plainly=plainly,
        prepared=prepared,
        changed=own[:1],
        steps=steps,
        rounds=rounds,
    )


def _forked(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], affordable: float
) -> EngineTrial:
    """A process computes in one thread, the plain loop in as many as torch takes."""
    share = _rounds(len(models), worker_count(len(models)))
    used = torch.get_num_threads()
    steps = _steps(affordable, 2)
    if used == 1:
        return EngineTrial("processes", share)
    if steps < _FEWEST:
        return EngineTrial("processes", refused="there are too few steps to try it")

    def train(cut: Prepared, count: int) -> list[History]:
        torch.set_num_threads(count)
        try:
            return loop.train(cut, models[:1], seeds[:1], _ignore)
        finally:
            torch.set_num_threads(used)

    return _tried(
        "processes",
        engine=lambda cut: train(cut, 1),
        plainly=lambda cut: train(cut, used),
        prepared=prepared,
        changed=models[:1],
        steps=steps,
        rounds=share,
    )


def _threaded(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], affordable: float
) -> EngineTrial:
    few = slice(worker_count(len(models)))
    steps = _steps(affordable, 1 + len(models[few]))
    if steps < _FEWEST:
        return EngineTrial("threads", refused="there are too few steps to try it")
    return _tried(
        "threads",
        engine=lambda cut: threads.together(cut, models[few], seeds[few], _ignore),
        plainly=lambda cut: loop.train(cut, models[:1], seeds[:1], _ignore),
        prepared=prepared,
        changed=models[few],
        steps=steps,
        rounds=1.0,
    )


def _tried(
    name: str,
    *,
    engine: Callable[[Prepared], list[History]],
    plainly: Callable[[Prepared], list[History]],
    prepared: Prepared,
    changed: Sequence[nn.Module],
    steps: int,
    rounds: float,
) -> EngineTrial:
    """The time of an engine for a model over that of the plain loop; both give the same loss."""
    plain, (expected, *_) = _timed(plainly, prepared, changed, steps)
    try:
        seconds, (found, *_) = _timed(engine, prepared, changed, steps)
    except InitcheckError as error:
        return EngineTrial(name, refused=str(error).removeprefix(f"{name}: "))
    except Exception as error:
        return EngineTrial(name, refused=f"it raised {describe_error(error)}")
    precision = torch.finfo(next(changed[0].parameters()).dtype).eps ** 0.5
    mine, own = (torch.tensor(each.metrics["loss"]).double() for each in (found, expected))
    if not torch.allclose(mine, own, precision, precision, equal_nan=True):
        return EngineTrial(name, refused="it gives other losses than the plain loop")
    return EngineTrial(name, seconds / plain * rounds)


def _timed(
    engine: Callable[[Prepared], list[History]],
    prepared: Prepared,
    changed: Sequence[nn.Module],
    steps: int,
) -> tuple[float, list[History]]:
    """Seconds for the steps of one model, and what was recorded, after some to warm up."""
    with preserved(*changed, prepared.loss):
        engine(shortened(prepared, _WARM_UP))
    with preserved(*changed, prepared.loss):
        start = time.perf_counter()
        histories = engine(shortened(prepared, steps))
        seconds = time.perf_counter() - start
    return seconds / len(histories), histories
