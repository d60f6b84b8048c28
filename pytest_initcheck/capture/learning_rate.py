"""The learning rate of a group of parameters, where the optimiser has one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch


def rate_of(group: Mapping[str, Any]) -> float:
    """The rate of a group; NaN where the optimiser has none, or finds its own as Adafactor does."""
    rate = group.get("lr")
    return math.nan if rate is None else float(rate)


def rates_of(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rates of all groups, in their order."""
    return [rate_of(group) for group in optimizer.param_groups]


def fading(looks: Sequence[Sequence[float]]) -> float:
    """The part of its rate that every step takes, of the group that loses least.

    ``looks`` are the rates of all groups before the first step and after each. 0 where a rate
    stays, grows in some step, or is unknown: warm-up and rates that adapt are none.
    """
    found = [
        1 - after / before if before > 0 else 0.0
        for one, other in itertools.pairwise(looks)
        for before, after in zip(one, other, strict=False)
    ]
    return max(min(found, default=0.0), 0.0) if not any(map(math.isnan, found)) else 0.0


def rate_text(rate: float) -> str:
    """A rate as a record states it."""
    return "its own" if math.isnan(rate) else f"{rate:g}"
