"""The zoos, one file each: a library's models, how to build them, and what to feed them.

A new zoo is a new file in this folder with a ``ZOO``; nothing else has to be changed.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol

from torch import nn

SIZES = (32, 64, 96, 128, 160, 192, 224, 256, 299, 384)


class Zoo(Protocol):
    """Names of models, and for each the ways to build it, to be tried in order."""

    most: int

    def names(self) -> list[str]: ...

    def ways(self, name: str) -> list[Any]: ...

    def build(self, name: str, way: Any) -> nn.Module: ...

    def batch(self, model: nn.Module, name: str, way: Any) -> Any: ...


def names() -> list[str]:
    """The zoos that there are; each is named like its file."""
    return [module.name for module in pkgutil.iter_modules(__path__)]


def opened(name: str) -> Zoo:
    """The zoo of that name; ends the program where its library is missing."""
    made = importlib.import_module(f"{__name__}.{name}").ZOO
    try:
        zoo: Zoo = made()
    except ImportError as error:
        raise SystemExit(f"--zoo {name} needs {name}: pip install {name} ({error})") from None
    return zoo
