"""The exponent with which a quantity grows with a size, and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from pytest_initcheck.statistics import CONFIDENCE

Samples = Sequence[Sequence[float]]
_FEWEST = 3  # A line through two points leaves nothing to judge its slope by.


@dataclass(frozen=True, kw_only=True)
class Exponent:
    """``value`` is b of size**b, between ``low`` and ``high`` with 95 % confidence.

    ``rate`` is log₂ of the growth by one more of size (-½ is 2**(-size/2)), the slope where the
    growth is exponential. All are NaN where fewer than three values are finite and positive.
    ``lost`` counts values that are not finite, ``zeros`` those that are zero.
    """

    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    rate: float = math.nan
    lost: int = 0
    zeros: int = 0

    @property
    def is_known(self) -> bool:
        """Whether there was enough to measure."""
        return math.isfinite(self.value)

    def __str__(self) -> str:
        if not self.is_known:
            return "not measured"
        return f"{self.value:+.2f} ({self.low:+.2f} to {self.high:+.2f})"


def exponent_of(
    sizes: Sequence[float], values: Samples, confidence: float = CONFIDENCE
) -> Exponent:
    """The slope of log value over log size through all seeds of all sizes, by least squares.

    ``values`` has one row per size and one column per seed. The interval is that of the slope, by
    Student's t with two degrees of freedom fewer than there are values: models of different sizes
    and seeds are drawn independently. Source: Draper and Smith, Applied Regression Analysis (1998),
    section 1.4.
    """
    pairs = [(size, v) for size, row in zip(sizes, values, strict=True) for v in row]
    lost = sum(not math.isfinite(v) for _, v in pairs)
    zeros = sum(v == 0 for _, v in pairs)
    used = [(size, math.log(v)) for size, v in pairs if math.isfinite(v) and v > 0]
    if len(used) < _FEWEST or len({size for size, _ in used}) < 2:
        return Exponent(lost=lost, zeros=zeros)
    logs = [y for _, y in used]
    slope, error = _line([math.log(size) for size, _ in used], logs)
    half = _student(len(used) - 2, confidence) * error
    return Exponent(
        value=slope,
        low=slope - half,
        high=slope + half,
        rate=_line([size for size, _ in used], logs)[0] / math.log(2),
        lost=lost,
        zeros=zeros,
    )


def slope_of(sizes: Sequence[float], values: Sequence[float]) -> float:
    """The exponent alone, of one value per size; NaN where there are fewer than two."""
    used = [(s, v) for s, v in zip(sizes, values, strict=True) if math.isfinite(v) and v > 0]
    if len({s for s, _ in used}) < 2:
        return math.nan
    return _line([math.log(s) for s, _ in used], [math.log(v) for _, v in used])[0]


def _line(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Slope and its standard error, as `scipy.stats.linregress` gives them at 20 times the cost."""
    at, over, n = fmean(x), fmean(y), len(x)
    spread = math.fsum((a - at) ** 2 for a in x)
    slope = math.fsum((a - at) * b for a, b in zip(x, y, strict=True)) / spread
    left = math.fsum((b - over - slope * (a - at)) ** 2 for a, b in zip(x, y, strict=True))
    return slope, math.sqrt(left / max(n - 2, 1) / spread)


def _student(freedom: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + confidence) / 2))
