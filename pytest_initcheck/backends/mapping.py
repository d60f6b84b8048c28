"""`mapped`: one function over tasks, here or on an engine, with the same results bit for bit."""

from __future__ import annotations

import contextlib
import traceback
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, NoReturn, TypeVar

from pytest_initcheck.backends.connection import Connection, connected, needed
from pytest_initcheck.backends.names import Address, parsed
from pytest_initcheck.backends.numerics import Numerics, machine
from pytest_initcheck.backends.parcel import Sent, packed
from pytest_initcheck.backends.serve import Done, Failed, serve
from pytest_initcheck.errors import InElsewhere, InitcheckError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")
Tick = Callable[[int], object]
# How often loky, which gives up with a worker, is begun anew; Dask allows a task as many.
_RETRIES = 3


@dataclass(frozen=True)
class Mapped(Generic[R]):
    """The result of every task, in the order of the tasks, and by what they were made."""

    results: list[R]
    told: str = ""


def mapped(
    work: Callable[[S, T, Tick], R],
    shared: S,
    tasks: Sequence[T],
    *,
    backend: str | None = None,
    tick: Tick = lambda done: None,
    names: Sequence[str] = (),
) -> Mapped[R]:
    """What ``work(shared, task, tick)`` makes of every task.

    Args:
        work: a function whose result follows from what it is given alone: it seeds what it draws.
        shared: what all tasks need, sent once to every worker. It is not changed.
        tasks: small values, one for each call.
        backend: "loky", "dask", "dask://host:port", "ray", "ray://host:port"; None or "local":
            one after the other in this process.
        tick: called with what is done: here whenever ``work`` says it, elsewhere at the end of
            each task.
        names: what errors call the tasks; by default their numbers.

    Returns:
        The results, the same whatever the engine, the number of workers and their order.

    Raises:
        InitcheckError: what the first task that fails raised, with the lines of the user's code
            where it did; an engine that is not installed, does not answer, or lost the workers of
            a task again and again.
    """
    address = parsed(backend)
    if address is None:
        return Mapped([work(shared, task, tick) for task in tasks])
    needed(address)
    gathering = _Gathering(len(tasks), tick, names or [f"task {i}" for i in range(len(tasks))])
    workers = gathering.all(address, packed((work, shared, tuple(tasks))))
    return Mapped(
        [gathering.found[place].made for place in range(len(tasks))],
        f"{address.text} ({len(tasks)} tasks on {workers} workers){gathering.differing()}",
    )


@dataclass
class _Gathering:
    """What has come back so far."""

    count: int
    tick: Tick
    names: Sequence[str]
    found: dict[int, Done] = field(default_factory=dict)
    failed: dict[int, Failed] = field(default_factory=dict)

    def all(self, address: Address, sent: Sent) -> int:
        """Gather until nothing is missing; how many workers there were."""
        for attempt in range(_RETRIES + 1):
            with connected(address, sent, len(self.missing)) as connection:
                try:
                    self._gather(connection)
                except Exception as error:
                    if not _begins_anew(error) or attempt == _RETRIES:
                        self._raise_lost(address, error)
                    continue
            break
        if self.failed:
            self._raise(self.failed[min(self.failed)])
        return connection.workers

    @property
    def missing(self) -> list[int]:
        """The places that are needed and not there: of a failure, those before it."""
        first = min(self.failed, default=self.count)
        return [place for place in range(first) if place not in self.found]

    def _gather(self, connection: Connection) -> None:
        with _running(connection, self.missing) as results:
            for result in results:
                if isinstance(result, Failed):
                    self.failed[result.place] = result
                else:
                    self.found[result.place] = result
                    self.tick(result.ticks)
                if not self.missing:
                    return

    def differing(self) -> str:
        """Where a worker computes unlike this process."""
        here = machine()
        others = sorted({done.machine for done in self.found.values()} - {here})
        return f"; equal up to rounding: {', '.join(others)} there, {here} here" if others else ""

    def _raise(self, failed: Failed) -> NoReturn:
        frames = [traceback.FrameSummary(*line) for line in failed.lines]
        raise InitcheckError(failed.said) from InElsewhere(frames)

    def _raise_lost(self, address: Address, error: Exception) -> NoReturn:
        lost = ", ".join(self.names[place] for place in self.missing)
        raise InitcheckError(
            f"backend {address.text!r}: {type(error).__name__}: {error}; not done: {lost}"
        ) from error


def _begins_anew(error: Exception) -> bool:
    """Whether the workers are lost and not the task: loky has no one who would repeat it."""
    from joblib.externals.loky.process_executor import BrokenProcessPool

    return isinstance(error, BrokenProcessPool)


@contextlib.contextmanager
def _running(
    connection: Connection, places: Sequence[int]
) -> Iterator[Generator[Done | Failed, None, None]]:
    """What the workers make of these places, as it comes; at the end nothing goes on."""
    import joblib

    numerics = Numerics.here()
    calls = [joblib.delayed(serve)(connection.parcel, place, numerics) for place in places]
    with joblib.parallel_config(backend=connection.backend, n_jobs=connection.workers):
        parallel = joblib.Parallel(
            return_as="generator_unordered", batch_size=1, pre_dispatch=connection.ahead
        )
        results = parallel(calls)
    try:
        yield results
    finally:
        with warnings.catch_warnings():
            # Of tasks that are given up, which is what is wanted.
            warnings.simplefilter("ignore")
            results.close()
