"""The plain loop in several threads: one model each, as many at a time as there are cores.

Threads and no processes: what an experiment holds need not be pickled, the data exist once, and
torch lets go of the interpreter's lock within its operators.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.randomness import seed_all, stream_positions
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.history import History
from pytest_initcheck.training.loop import Tick, train_one
from pytest_initcheck.training.prepare import Prepared, shortened


def train(
    prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int], tick: Tick
) -> list[History]:
    """Train several models at a time; the same curves as the plain loop up to rounding.

    Raises:
        InitcheckError: the models cannot be trained apart from each other, or what the plain loop
            raises, of the first seed that fails.
    """
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
    counted = _Counted(tick)
    workers = worker_count(models)
    with _cores_shared(workers), ThreadPoolExecutor(workers) as pool:
        try:
            return list(
                pool.map(
                    lambda model, seed: train_one(prepared, model, seed, counted), models, seeds
                )
            )
        except BaseException:
            counted.stop()
            raise


def worker_count(models: Sequence[nn.Module]) -> int:
    """How many models are trained at a time."""
    return min(_cores(), len(models))


def _cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def _cores_shared(workers: int) -> Iterator[None]:
    """Let the operators of all workers together use no more threads than there are cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, max(_cores() // workers, 1)))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Counted:
    """A tick for several threads, which ends those that go on after one has failed."""

    def __init__(self, tick: Tick) -> None:
        self.tick, self.stopped, self.lock = tick, False, threading.Lock()

    def __call__(self, done: int) -> None:
        """Count what is done."""
        with self.lock:
            if self.stopped:
                raise InitcheckError("threads: another seed has failed")
            self.tick(done)

    def stop(self) -> None:
        """Let no thread go on."""
        with self.lock:
            self.stopped = True


def obstacle(prepared: Prepared, models: Sequence[nn.Module], seeds: Sequence[int]) -> str | None:
    """Why the models cannot be trained apart from each other, if so."""
    if prepared.device.type != "cpu":
        return f"the models are on {prepared.device.type}"
    if len(models) < 2:
        return "there is one model"
    if _cores() < 2:
        return "there is one core"
    if _share(models):
        return "the models share modules or tensors"
    return _shared_by_step(prepared, models[0], seeds[0])


def _share(models: Sequence[nn.Module]) -> bool:
    seen: set[int] = set()
    for model in models:
        mine = {id(module) for module in model.modules()}
        mine |= {tensor.data_ptr() for tensor in _tensors(model) if tensor.numel()}
        if mine & seen:
            return True
        seen |= mine
    return False


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _shared_by_step(prepared: Prepared, model: nn.Module, seed: int) -> str | None:
    """What a step changes that belongs to all models, if anything."""
    loss = prepared.loss
    with preserved(model, loss):
        held = list(_tensors(loss)) if isinstance(loss, nn.Module) else []
        versions = [tensor._version for tensor in held]
        positions = stream_positions()
        train_one(shortened(prepared, batches=1), model, seed, lambda _: None)
        if stream_positions() != positions:
            return "a step draws random numbers, which the models share"
        if [tensor._version for tensor in held] != versions:
            return "the loss changes what it holds"
    return None
