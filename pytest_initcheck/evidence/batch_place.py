"""Where in a batch a tensor lies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class BatchPlace:
    """A part of the batch, and the keys that lead from it to a tensor.

    As text it is the expression that reaches it: "inputs", "batch['x'][0]".
    """

    root: Literal["inputs", "targets", "batch"]
    keys: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return self.root + "".join(f"[{key!r}]" for key in self.keys)
