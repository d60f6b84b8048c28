"""Python's collector of garbage while much is made that is none."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

_NEVER = 1 << 30


@contextmanager
def no_full_collections() -> Iterator[None]:
    """Inside, the collector goes through what is young alone.

    A trace of thousands of operators makes it go through all that torch has loaded, again and
    again, which takes longer than the passes.
    """
    young, middle, old = gc.get_threshold()
    gc.set_threshold(young, middle, _NEVER)
    try:
        yield
    finally:
        gc.set_threshold(young, middle, old)
