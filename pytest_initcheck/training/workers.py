"""Worker threads, as many as there are cores, and what models must not share to be in several."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor, nn

from pytest_initcheck.backends.cores import cores
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.training.loop import Tick

T = TypeVar("T")
R = TypeVar("R")


def in_threads(work: Callable[[T, Tick], R], jobs: Sequence[T], tick: Tick) -> list[R]:
    """What ``work`` makes of every job, several at a time; raises what the first job raises."""
    if len(jobs) == 1:
        return [work(jobs[0], tick)]
    counted = _Counted(tick)
    workers = worker_count(len(jobs))
    with _cores_shared(workers), ThreadPoolExecutor(workers) as pool:
        try:
            return list(pool.map(lambda job: work(job, counted), jobs))
        except BaseException:
            counted.stop()
            raise


def worker_count(jobs: int) -> int:
    """How many jobs are done at a time."""
    return min(cores(), jobs)


@contextlib.contextmanager
def _cores_shared(workers: int) -> Iterator[None]:
    """Let the operators of all workers together use no more threads than there are cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(min(threads, max(cores() // workers, 1)))
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
                raise InitcheckError("another seed has failed")
            self.tick(done)

    def stop(self) -> None:
        """Let no thread go on."""
        with self.lock:
            self.stopped = True


def sharing(models: Sequence[nn.Module]) -> bool:
    """Whether a module or a tensor belongs to several of the models."""
    seen: set[int] = set()
    for model in models:
        mine = {id(module) for module in model.modules()}
        mine |= {tensor.data_ptr() for tensor in tensors(model) if tensor.numel()}
        if mine & seen:
            return True
        seen |= mine
    return False


def tensors(module: nn.Module) -> Iterator[Tensor]:
    """Parameters and buffers."""
    yield from module.parameters()
    yield from module.buffers()
