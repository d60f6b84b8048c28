"""Random numbers of the engines' own threads, kept apart from the streams that seeds set."""

from __future__ import annotations

import random
import sys

# They draw delays, peers and samples from Python's stream, in threads beside the tasks.
_DRAWING = ("dask", "distributed", "tornado")


def keep_apart() -> None:
    """Let Dask's threads draw from a source of their own.

    Otherwise a model that draws from Python's stream would get other numbers from time to time.
    """
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _DRAWING and getattr(module, "random", None) is random:
            module.__dict__["random"] = random.Random()
