"""The plain loop in several threads: one model each, as many at a time as there are cores.

Threads and no processes: what an experiment holds need not be pickled, the data exist once, and
torch lets go of the interpreter's lock within its operators.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.capture.randomness import seed_all, stream_positions
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.forks import Unsuited
from pytest_initcheck.training.history import History
from pytest_initcheck.training.loop import Tick, train_one
from pytest_initcheck.training.prepare import Prepared, shortened
from pytest_initcheck.training.workers import in_threads, sharing, tensors


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train several models at a time; the same curves as the plain loop up to rounding.

    Raises:
        Unsuited: there is one core; nothing has changed.
        InitcheckError: the models cannot be trained apart from each other, or what the plain loop
            raises, of the first seed that fails.
    """
    if cores() < 2:
        # Of a machine, or of a worker of a test run: no fault of who asked.
        raise Unsuited("there is one core for this process")
    if reason := obstacle(prepared, models, seeds):
        raise InitcheckError(f"threads: {reason}; pass engine='plain'")
    seed_all(seeds[-1])  # Where the plain loop leaves the streams.
    positions = stream_positions()
    histories = together(prepared, models, seeds, tick)
    if stream_positions() != positions:
        raise InitcheckError(
            "threads: a step that is not the first drew random numbers, which the models share; "
            "pass engine='plain'"
        )
    return histories


def together(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train several models at a time that are known to share nothing."""
    jobs = list(zip(models, seeds, strict=True))
    return in_threads(lambda job, counted: train_one(prepared, *job, counted), jobs, tick)


def obstacle(prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]) -> str | None:
    """Why the models cannot be trained apart from each other, if so."""
    if prepared.device.type != "cpu":
        return f"the models are on {prepared.device.type}"
    if len(models) < 2:
        return "there is one model"
    if cores() < 2:
        return "there is one core"
    if sharing(models):
        return "the models share modules or tensors"
    return _shared_by_step(prepared, models[0], seeds[0])


def _shared_by_step(prepared: Prepared, model: nn.Module, seed: int) -> str | None:
    """What a step changes that belongs to all models, if anything."""
    loss = prepared.loss
    with preserved(model, loss):
        held = list(tensors(loss)) if isinstance(loss, nn.Module) else []
        versions = [tensor._version for tensor in held]
        positions = stream_positions()
        train_one(shortened(prepared, batches=1), model, seed, lambda _: None)
        if stream_positions() != positions:
            return "a step draws random numbers, which the models share"
        if [tensor._version for tensor in held] != versions:
            return "the loss changes what it holds"
    return None
