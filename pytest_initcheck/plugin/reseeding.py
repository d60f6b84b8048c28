"""A plugin of its own, for `initcheck baselines noise`: every seed of a session, moved.

``pytest -p pytest_initcheck.plugin.reseeding`` adds the number in INITCHECK_SEED_OFFSET to the
whole numbers that a test or the fixture gives to ``torch.manual_seed`` and those of CUDA,
``torch.Generator``, ``random.seed``, ``numpy.random.seed`` and ``numpy.random.default_rng``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Generator
from numbers import Integral
from typing import Any

import pytest

VARIABLE = "INITCHECK_SEED_OFFSET"
_BELOW = 2**32  # What numpy takes.
_replaced: list[tuple[Any, str, Any]] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests() -> Generator[None, None, None]:
    """Move them before a conftest takes one of these names for itself."""
    move_seeds(int(os.environ.get(VARIABLE, "0")))
    yield


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    """Move them in a worker of xdist, too, where the hook before is not called."""
    move_seeds(int(os.environ.get(VARIABLE, "0")))


def pytest_unconfigure() -> None:
    """Put back what was there."""
    while _replaced:
        setattr(*_replaced.pop())


def move_seeds(offset: int) -> None:
    """Replace the functions that take seeds by ones that add ``offset``; once, and not for 0."""
    if not offset or _replaced:
        return
    import numpy as np
    import torch

    # torch.manual_seed calls those of CUDA, which add it once more: other seeds, all the same.
    places = [(torch, "manual_seed"), (torch.random, "manual_seed"), (random, "seed")]
    places += [(torch.cuda, "manual_seed"), (torch.cuda, "manual_seed_all")]
    places += [(np.random, "seed"), (np.random, "default_rng")]
    for home, name in places:
        _replace(home, name, _moving(getattr(home, name), offset))
    _replace(torch, "Generator", _moving_generator(torch.Generator, offset))


def _replace(home: Any, name: str, value: Any) -> None:
    _replaced.append((home, name, getattr(home, name)))
    setattr(home, name, value)


def _moving(function: Callable[..., Any], offset: int) -> Callable[..., Any]:
    def moved(*args: Any, **options: Any) -> Any:
        # The seed comes first, by whichever name; random.seed takes a version beside it.
        taken = [_moved(value, offset) for value in args[:1]]
        named = {key: _moved(v, offset) for key, v in options.items() if key in ("seed", "a")}
        return function(*taken, *args[1:], **options | named)

    return moved


def _moved(seed: Any, offset: int) -> Any:
    is_seed = isinstance(seed, Integral) and not isinstance(seed, bool)
    return (int(seed) + offset) % _BELOW if is_seed else seed


def _moving_generator(base: Any, offset: int) -> Any:
    class Kind(type(base)):  # type: ignore[misc]
        # The generators that torch has made before are still ones.
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, base)

    class Moved(base, metaclass=Kind):  # type: ignore[misc]
        def manual_seed(self, seed: int) -> Any:
            return super().manual_seed(_moved(seed, offset))

    return Moved
