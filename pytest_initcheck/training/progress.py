"""A progress bar for long runs that keeps quiet where nobody looks."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

DELAY = 2.0  # Seconds before the bar appears.


def wanted(progress: bool | None) -> bool:
    """Whether to show a bar: None shows it on a terminal or in a notebook, outside CI."""
    if progress is not None:
        return progress
    # Under pytest's capture, standard error is a file and no terminal.
    is_seen = bool(getattr(sys.stderr, "isatty", lambda: False)()) or is_notebook()
    return not os.environ.get("CI") and is_seen


def is_notebook() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


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
    maker: Callable[..., Any] = _of_notebook() if is_notebook() else tqdm
    return maker


def _of_notebook() -> Callable[..., Any]:
    with warnings.catch_warnings():
        # Without widgets it is a bar of text, which needs no word.
        warnings.simplefilter("ignore")
        from tqdm.auto import tqdm
    maker: Callable[..., Any] = tqdm
    return maker
