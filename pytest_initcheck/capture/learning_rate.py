"""The learning rate of a group of parameters, where the optimiser has one."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def rate_of(group: Mapping[str, Any]) -> float:
    """The rate of a group; NaN where the optimiser has none, or finds its own as Adafactor does."""
    rate = group.get("lr")
    return math.nan if rate is None else float(rate)


def rate_text(rate: float) -> str:
    """A rate as a record states it."""
    return "its own" if math.isnan(rate) else f"{rate:g}"
