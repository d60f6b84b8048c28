"""The errors that the package raises on purpose."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

_HERE = str(Path(__file__).parent)


class InitcheckError(Exception):
    """Wrong use or bad input; the message says what to pass instead."""


class BaselineError(InitcheckError):
    """A baseline file that cannot be read; the message names the file and the line."""


class DataError(InitcheckError):
    """A data set that is missing, corrupt or truncated; the message names the file."""


class InitcheckFailure(AssertionError):
    """A model or an experiment that does not hold what the test asserts."""


class InElsewhere(Exception):
    """Where in another process an error was raised, as the lines of its traceback."""

    def __init__(self, frames: Iterable[traceback.FrameSummary]) -> None:
        listed = "".join(traceback.format_list(list(frames)))
        super().__init__(f"in another process:\n{listed}" if listed else "in another process")


def users_part(part: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither the package's nor torch's.

    All of it where there is no such frame.
    """
    found = part
    while found is not None and _is_inner(found.tb_frame.f_code.co_filename):
        found = found.tb_next
    return found or part


def _is_inner(file: str) -> bool:
    return file.startswith(_HERE) or "torch" in Path(file).parts
