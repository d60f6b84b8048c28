"""Which engine trains some models fastest, by a trial of a few steps that leaves no trace."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training import batched, loop, threads
from pytest_initcheck.training.attributes import plain_attributes
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.history import History
from pytest_initcheck.training.prepare import Prepared, shortened
from pytest_initcheck.training.workers import worker_count

_WARM_UP, _TIMED = 1, 3  # Batches.
# What a trial may cost of what is to be trained: no training becomes much slower by being tried.
_BUDGET = 0.05
# The plain loop repeats bit for bit, and less than that is noise of the clock.
_GAIN = 1.1

Engine = Callable[[Prepared], list[History]]


@dataclass(frozen=True)
class Trial:
    """Seconds that an engine took for a few steps of one model, or why it cannot be taken."""

    name: str
    seconds: float = math.inf
    refused: str = ""


def fastest(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]
) -> tuple[str, str]:
    """The name of the engine to take, and why."""
    if reason := _too_small(prepared, models):
        return "plain", reason
    try:
        plain, *others = _trials(prepared, models, seeds)
    except InitcheckError as error:
        # The plain loop says it itself, of the first seed that fails and all of its data.
        return "plain", str(error)
    best = min(others, key=lambda trial: trial.seconds)
    compared = "; ".join(_told(trial, plain) for trial in others)
    return (best if plain.seconds > _GAIN * best.seconds else plain).name, compared


def _too_small(prepared: Prepared, models: Sequence[nn.Module]) -> str:
    """Why a trial would cost more than it could gain, if so."""
    if len(models) < 2:
        return "there is one model"
    tried = (_WARM_UP + _TIMED) * (len(models) + 2 * worker_count(len(models)))
    steps = prepared.steps * prepared.experiment.epochs
    if tried > _BUDGET * steps * len(models):
        return f"{steps} steps are too few to try other engines"
    return ""


def _told(trial: Trial, plain: Trial) -> str:
    if trial.refused:
        return f"{trial.name}: {trial.refused}"
    return f"{trial.name} took {trial.seconds / plain.seconds:.2g} of the plain loop's time"


def _trials(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]
) -> Iterator[Trial]:
    """Of the plain loop, then of the others, which have to give the same losses."""
    few = slice(worker_count(len(models)))
    ours, own = models[few], seeds[few]

    def plainly(cut: Prepared) -> list[History]:
        return loop.train(cut, ours, own, _ignore)

    def stacked(cut: Prepared) -> list[History]:
        return _stacked(cut, models, seeds)

    def together(cut: Prepared) -> list[History]:
        return threads.together(cut, ours, own, _ignore)

    seconds, histories = _timed(plainly, prepared, ours)
    expected = _losses(histories, next(models[0].parameters()).dtype)
    yield Trial("plain", seconds)
    bases = [models[part][0] for part in batched.parts(prepared, models)]
    yield _tried("batched", stacked, prepared, bases, expected)
    if reason := threads.obstacle(prepared, models, seeds):
        yield Trial("threads", refused=reason)
    else:
        yield _tried("threads", together, prepared, ours, expected)


def _ignore(done: int) -> None:
    """A tick that nobody sees."""


def _stacked(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]
) -> list[History]:
    """A stack sees the attributes of its first model alone."""
    attributes = [plain_attributes(model) for model in models]
    if any(each != attributes[0] for each in attributes):
        raise InitcheckError("the models differ in attributes that are no tensors")
    _, histories = batched.train_copies(prepared, models, seeds, _ignore)
    if [plain_attributes(model) for model in models] != attributes:
        raise InitcheckError("a step changes attributes that are no tensors")
    return histories


def _tried(
    name: str,
    engine: Engine,
    prepared: Prepared,
    changed: Sequence[nn.Module],
    expected: torch.Tensor,
) -> Trial:
    try:
        seconds, histories = _timed(engine, prepared, changed)
    except InitcheckError as error:
        return Trial(name, refused=str(error).removeprefix(f"{name}: "))
    except Exception as error:
        return Trial(name, refused=f"it raised {describe_error(error)}")
    found = _losses(histories, expected.dtype)[: len(expected)]
    precision = torch.finfo(expected.dtype).eps ** 0.5
    if not torch.allclose(found, expected, precision, precision, equal_nan=True):
        return Trial(name, refused="it gives other losses than the plain loop")
    return Trial(name, seconds)


def _timed(
    engine: Engine, prepared: Prepared, changed: Sequence[nn.Module]
) -> tuple[float, list[History]]:
    """Seconds for the steps of one model, and what was recorded, after some to warm up."""
    with preserved(*changed, prepared.loss):
        engine(shortened(prepared, _WARM_UP))
    with preserved(*changed, prepared.loss):
        start = time.perf_counter()
        histories = engine(shortened(prepared, _TIMED))
        seconds = time.perf_counter() - start
    return seconds / len(histories), histories


def _losses(histories: Sequence[History], dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor([history.metrics["loss"] for history in histories], dtype=dtype)
