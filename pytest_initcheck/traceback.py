"""Tracebacks that show the user's code, not the package's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Concatenate, ParamSpec, TypeVar

from pytest_initcheck.errors import InitcheckError, InitcheckFailure

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
_HERE = str(Path(__file__).parent)


def quiet(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """The method, with the package's own frames left out of the traceback of its errors."""

    @functools.wraps(method)
    def calls(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return method(self, *args, **kwargs)
        except (InitcheckError, InitcheckFailure) as error:
            cause = error.__cause__
            if cause is not None:
                cause.with_traceback(users_part(cause.__traceback__))
            raise error.with_traceback(None) from cause

    return calls


def users_part(traceback: TracebackType | None) -> TracebackType | None:
    """The traceback from the first frame that is neither the package's nor torch's.

    All of it where there is no such frame.
    """
    part = traceback
    while part is not None and _is_inner(part.tb_frame.f_code.co_filename):
        part = part.tb_next
    return part or traceback


def _is_inner(file: str) -> bool:
    return file.startswith(_HERE) or "torch" in Path(file).parts
