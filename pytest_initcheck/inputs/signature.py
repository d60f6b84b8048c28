"""What a model's forward, a loss or a step takes, as far as its signature says."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Takes:
    """The arguments that a function takes by place, and whether it takes any by name."""

    names: tuple[str, ...]
    required: int
    most: float
    takes_any_name: bool
    needs_by_name: tuple[str, ...] = ()


def takes(function: Callable[..., Any]) -> Takes | None:
    """What a function takes; None where that cannot be told."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return None
    placed = [p for p in parameters if p.kind in _BY_PLACE]
    is_open = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    return Takes(
        names=tuple(p.name for p in placed),
        required=sum(p.default is p.empty for p in placed),
        most=math.inf if is_open else len(placed),
        takes_any_name=any(p.kind is p.VAR_KEYWORD for p in parameters),
        needs_by_name=tuple(
            p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty
        ),
    )


def forward_of(model: nn.Module) -> Takes | None:
    """What the forward of a model takes, also of one that is compiled or wrapped for several GPUs.

    None where that cannot be told.
    """
    while True:
        inner = getattr(model, "_orig_mod", None)
        if type(model).__name__ in ("DataParallel", "DistributedDataParallel"):
            inner = getattr(model, "module", None)
        if not isinstance(inner, nn.Module):
            return takes(model.forward)
        model = inner
