"""Scales, ticks and the numbers beside an axis."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

MOST_DECADES = 12
MOST = sys.float_info.max


@dataclass(frozen=True)
class Scale:
    """Places a value between ``low`` (0) and ``high`` (1), linear or logarithmic."""

    low: float
    high: float
    log: bool = False

    @classmethod
    def around(cls, values: Sequence[float], log: bool) -> Scale:
        """A scale with some room around the values; on a log scale they are positive."""
        low, high = min(values), max(values)
        if log:
            low = max(low, high / 10.0**MOST_DECADES)
            return cls(low / 1.3, min(high * 1.3, MOST), True)
        room = (high - low) * 0.05 if math.isfinite(high - low) else 0.0
        if high == low:
            room = abs(high) * 0.05 or 0.5
        return cls(max(low - room, -MOST), min(high + room, MOST))

    @classmethod
    def exactly(cls, values: Sequence[float]) -> Scale:
        """A scale from the least to the greatest value."""
        low, high = min(values), max(values)
        return cls(low, high) if high > low else cls(low - 0.5, high + 0.5)

    def place(self, value: float) -> float:
        """The place of the value in [0, 1]; what lies outside sits on the edge."""
        if self.log:
            if value <= self.low:
                return 0.0
            span = math.log(self.high / self.low)
            part = math.log(value / self.low) / span if span else 0.5
        else:
            # Halves keep the width finite for a range that spans all floats; the least has none.
            span = self.high / 2 - self.low / 2
            part = (value / 2 - self.low / 2) / span if span else 0.5
        return min(max(part, 0.0), 1.0)


def ticks(scale: Scale, most: int = 5) -> list[float]:
    """At most about ``most`` round numbers within the scale; powers of ten on a log scale."""
    return _log_ticks(scale, most) if scale.log else _linear_ticks(scale, most)


def _linear_ticks(scale: Scale, most: int) -> list[float]:
    width = scale.high - scale.low
    if not math.isfinite(width) or width / most <= 0:
        return []
    power = 10.0 ** math.floor(math.log10(width / most))
    if power == 0.0:
        return []
    step = next((m * power for m in (1, 2, 5, 10) if m * power * most >= width), 10 * power)
    first = math.ceil(scale.low / step)
    found = [(first + i) * step for i in range(most + 2)]
    return [value for value in found if value <= scale.high]


def _log_ticks(scale: Scale, most: int) -> list[float]:
    first, last = math.ceil(math.log10(scale.low)), math.floor(math.log10(scale.high))
    if last - first < 2:
        fine = _fine_log_ticks(scale)
        return fine if len(fine) > 2 else _linear_ticks(scale, most)
    step = max(1, math.ceil((last - first) / most))
    return [10.0**power for power in range(first, last + 1, step)]


def _fine_log_ticks(scale: Scale) -> list[float]:
    power = math.floor(math.log10(scale.low))
    found = [m * 10.0**p for p in range(power, min(power + 3, 309)) for m in (1, 2, 5)]
    return [value for value in found if scale.low <= value <= scale.high]


def number(value: float, width: float = 0.0) -> str:
    """The value with as many digits as tell apart values ``width`` away, at most seven."""
    if not math.isfinite(value):
        return str(value)
    if abs(value) < width * 1e-9:
        return "0"
    digits = 3
    if 0 < width < math.inf and value:
        digits = min(max(3, math.ceil(math.log10(abs(value)) - math.log10(width)) + 2), 7)
    return f"{value:.{digits}g}".replace("-", "−").replace("e−0", "e−").replace("e+0", "e")
