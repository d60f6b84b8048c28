"""Calls whose errors show the user's code, not the package's."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from pytest_initcheck.errors import InitcheckError, InitcheckFailure, users_part

P = ParamSpec("P")
R = TypeVar("R")


def quiet(function: Callable[P, R]) -> Callable[P, R]:
    """The function, with the package's own frames left out of the traceback of its errors."""

    @functools.wraps(function)
    def calls(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True
        try:
            return function(*args, **kwargs)
        except (InitcheckError, InitcheckFailure) as error:
            cause = error.__cause__
            if cause is not None:
                cause.with_traceback(users_part(cause.__traceback__))
            raise error.with_traceback(None) from cause

    return calls


def call(function: Callable[..., R], *args: Any, **options: Any) -> R:
    """Call the function; arguments that it does not take are an error of the caller.

    Raises:
        InitcheckError: the arguments do not fit the function's signature.
    """
    bound(function, *args, **options)
    return function(*args, **options)


def bound(function: Callable[..., Any], *args: Any, **options: Any) -> dict[str, Any]:
    """What the function would be given, by name.

    Raises:
        InitcheckError: the arguments do not fit the function's signature.
    """
    signature = inspect.signature(function)
    try:
        return signature.bind(*args, **options).arguments
    except TypeError as error:
        known = ", ".join(signature.parameters)
        raise InitcheckError(f"{function.__name__}: {error}; it takes {known}") from None
