"""Work done in forked processes, as many at a time as there are cores; plain data come back.

Forked as a DataLoader's workers are: what an experiment holds is inherited and need not be pickled,
the data exist once. A child computes in one thread, since those of its parent are not in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, Generic, TypeVar

import torch

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.ranks.forking import survives_fork
from pytest_initcheck.training.build import describe_error
from pytest_initcheck.training.loop import Tick
from pytest_initcheck.training.workers import worker_count

R = TypeVar("R")
_TICK, _DONE, _FAILED, _UNSUITED = range(4)
_PARENT_DEATH = 1  # PR_SET_PDEATHSIG of Linux.


class Unsuited(InitcheckError):
    """What was to be done in another process has to be done in this one."""


class _InChild(Exception):
    """Where in a child it happened, as text."""


def no_fork(device: torch.device, *, goes_backward: bool = True) -> str | None:
    """Why there can be no forked processes, which may go backward, if so."""
    if not sys.platform.startswith("linux"):
        return f"processes are not forked on {sys.platform}"
    if device.type != "cpu":
        return f"the models are on {device.type}, which does not survive a fork"
    if torch.accelerator.is_available():
        return "autograd has threads for the accelerator here, which do not survive a fork"
    if multiprocessing.current_process().daemon:
        return "this process is itself a worker, which may have none"
    if goes_backward and not survives_fork():
        return "autograd has threads here, as after torch.compile, which do not survive a fork"
    return None


def in_processes(work: Callable[[int, Tick], R], names: Sequence[str], tick: Tick) -> list[R]:
    """What ``work`` makes of every place in ``names``; these are what errors call it.

    Raises:
        InitcheckError: what the first place raised, or how its process ended.
        Unsuited: raised by ``work``.
    """
    workers = worker_count(len(names))
    gathering = _Gathering[R](names, tick)
    with contextlib.ExitStack() as stack:
        for first in range(workers):
            child = _Child(work, range(first, len(names), workers))
            stack.callback(child.end)
            gathering.children.append(child)
        return gathering.all()


class _Child:
    """A process, what is received from it, and the places that it has not done yet."""

    def __init__(self, work: Callable[[int, Tick], object], places: Sequence[int]) -> None:
        context = multiprocessing.get_context("fork")
        self.todo = list(places)
        self.reader, writer = context.Pipe(duplex=False)
        self.process: ForkProcess = context.Process(
            target=_serve, args=(work, places, writer, os.getpid()), daemon=True
        )
        with warnings.catch_warnings():
            # Of threads in the parent: a DataLoader forks beside them, too.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        writer.close()

    def received(self) -> Iterator[tuple[int, int, Any]]:
        """What it has sent; at its end, that it died, where something is left to do."""
        # Asked first: what it sent before it ended is all there then.
        ended = self.process.exitcode is not None
        try:
            while self.reader.poll():
                yield self.reader.recv()
        except (EOFError, OSError):
            self.process.join()
            ended = True
        if ended and self.todo:
            yield _FAILED, self.todo[0], (self._ended(), "")

    def _ended(self) -> str:
        code = self.process.exitcode or 0
        if code < 0:
            return f"its process was killed by {signal.Signals(-code).name}"
        return f"its process ended with status {code} before it was done"

    def end(self) -> None:
        """Leave nothing behind."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self.process.close()
        self.reader.close()


class _Gathering(Generic[R]):
    """What has come from all children so far."""

    def __init__(self, names: Sequence[str], tick: Tick) -> None:
        self.names, self.tick = names, tick
        self.children: list[_Child] = []
        self.found: dict[int, R] = {}
        self.failed: dict[int, tuple[str, str]] = {}

    def all(self) -> list[R]:
        """Every place, or the error of the first that failed, as one after the other has it."""
        while len(self.found) < self._needed():
            wait(
                [each for child in self._open() for each in (child.reader, child.process.sentinel)]
            )
            for child in self._open():
                for message in child.received():
                    self._take(child, *message)
        if self.failed:
            self._raise(min(self.failed))
        return [self.found[place] for place in range(len(self.names))]

    def _needed(self) -> int:
        first = min(self.failed, default=len(self.names))
        return (
            len(self.found) if all(place in self.found for place in range(first)) else sys.maxsize
        )

    def _open(self) -> list[_Child]:
        return [child for child in self.children if child.todo and child.todo[0] not in self.failed]

    def _take(self, child: _Child, kind: int, place: int, value: Any) -> None:
        if kind == _TICK:
            self.tick(value)
        elif kind == _DONE:
            self.found[place] = value
            child.todo.remove(place)
        elif kind == _FAILED:
            # What a child said itself goes before that it ended, which may be seen at once.
            self.failed.setdefault(place, value)
        else:
            raise Unsuited(value)

    def _raise(self, place: int) -> None:
        said, trace = self.failed[place]
        if trace:
            raise InitcheckError(said) from _InChild(f"\n{trace}")
        raise InitcheckError(f"training stopped at {self.names[place]}: {said}")


def _serve(
    work: Callable[[int, Tick], object], places: Sequence[int], writer: Connection, parent: int
) -> None:
    """What a child does."""
    _die_with(parent)
    torch.set_num_threads(1)
    for place in places:
        try:
            made = work(place, lambda done, place=place: writer.send((_TICK, place, done)))  # type: ignore[misc]
        except Unsuited as error:
            writer.send((_UNSUITED, place, str(error)))
            return
        except Exception as error:
            said = str(error) if isinstance(error, InitcheckError) else describe_error(error)
            writer.send((_FAILED, place, (said, traceback.format_exc())))
            return
        writer.send((_DONE, place, made))


def _die_with(parent: int) -> None:
    """Leave it to the parent what an interrupt means, and do not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PARENT_DEATH, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)
