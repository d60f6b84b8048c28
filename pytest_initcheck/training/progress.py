"""A progress bar for long runs that keeps quiet where nobody looks."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

DELAY = 2.0  # Seconds before the bar appears.


def wanted(progress: bool | None) -> bool:
    """Whether to show a bar: None shows it on a terminal outside CI."""
    if progress is not None:
        return progress
    # Under pytest's capture, standard error is a file and no terminal.
    return not os.environ.get("CI") and bool(getattr(sys.stderr, "isatty", lambda: False)())


@contextlib.contextmanager
def bar(
    total: int, what: str, progress: bool | None = None, unit: str = "epoch"
) -> Iterator[Callable[[int], object]]:
    """Count epochs (or ``unit``) up to ``total``; yields a function to call with what is done."""
    tqdm = _tqdm() if wanted(progress) else None
    if tqdm is None:
        yield lambda done: None
        return
    delay = 0.0 if progress else DELAY
    with tqdm(total=total, desc=what, unit=unit, delay=delay, leave=False) as shown:
        yield shown.update


def _tqdm() -> Callable[..., Any] | None:
    try:
        from tqdm import tqdm
    except ImportError:
        return None
    maker: Callable[..., Any] = tqdm
    return maker
