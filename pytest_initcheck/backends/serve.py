"""What a worker does: a task at a time, with the caller's settings; errors come back as values."""

from __future__ import annotations

import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# So that seeds reach its streams in every worker, as they do where it is in use already.
import numpy as np  # noqa: F401

from pytest_initcheck.backends.numerics import Numerics, machine
from pytest_initcheck.backends.parcel import Parcel, opened
from pytest_initcheck.backends.streams import keep_apart
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.errors import InitcheckError, users_part

# The random streams belong to the process, so that its threads wait for each other.
_ONE_AT_A_TIME = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Done:
    """A task that was done: its place, what it made, how far it ticked, and on what."""

    place: int
    made: Any
    ticks: int
    machine: str


@dataclass(frozen=True, kw_only=True)
class Failed:
    """A task that raised: what, as text, and through which lines of whose files."""

    place: int
    said: str
    lines: tuple[tuple[str, int, str], ...]


class _Ticks:
    """Counts what a task says that it has done, and ends it where nobody waits for it."""

    def __init__(self, is_wanted: Callable[[], bool]) -> None:
        self.count, self.is_wanted = 0, is_wanted

    def __call__(self, done: int) -> None:
        """Count it.

        Raises:
            InitcheckError: the task was cancelled.
        """
        self.count += done
        if not self.is_wanted():
            raise InitcheckError("the task was cancelled")


def serve(parcel: Parcel, place: int, numerics: Numerics) -> Done | Failed:
    """Do the task at that place of a parcel that holds (work, shared, tasks)."""
    keep_apart()
    with _ONE_AT_A_TIME, numerics.applied(), isolated():
        ticks = _Ticks(_wanted())
        try:
            work, shared, tasks = opened(parcel)
            made = work(shared, tasks[place], ticks)
        except Exception as error:
            return Failed(place=place, said=_said(error), lines=_lines(error))
        return Done(place=place, made=made, ticks=ticks.count, machine=machine())


def _said(error: Exception) -> str:
    if isinstance(error, InitcheckError):
        return str(error)
    return "".join(traceback.format_exception_only(error)).strip()


def _lines(error: BaseException) -> tuple[tuple[str, int, str], ...]:
    """Where the first of the errors that led to this one was raised."""
    while error.__cause__ is not None:
        error = error.__cause__
    found = traceback.extract_tb(users_part(error.__traceback__))
    return tuple((frame.filename, frame.lineno or 0, frame.name) for frame in found)


def _wanted() -> Callable[[], bool]:
    """Whether the task that this thread does is still waited for, as far as its engine tells."""
    distributed = sys.modules.get("distributed")
    try:
        worker = distributed.get_worker()  # type: ignore[union-attr]
        key = worker.get_current_task()
    except (AttributeError, ValueError):
        return lambda: True
    return lambda: getattr(worker.state.tasks.get(key), "state", "executing") == "executing"
