"""Whether a series rises or falls by more than chance: Mann and Kendall's test, and Sen's slope.

S counts the pairs that rise less those that fall. Without ties its distribution under chance is
counted exactly (Mann: Nonparametric tests against trend, Econometrica 13, 1945, by the recurrence
for inversions); with ties it is approximated by a normal one whose variance is corrected for them,
with a correction for continuity (Kendall: Rank Correlation Methods, 4th edition, 1975, chapter 4).
The slope is the median of all pairs' slopes (Sen: Estimates of the regression coefficient based on
Kendall's tau, JASA 63, 1968). What is assumed: without a trend every order of the values is as
likely as another.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from statistics import NormalDist, median
from typing import NamedTuple

# The exact count takes n³ additions; beyond, the normal approximation errs by a few percent.
_LONGEST_EXACT = 60
# Two values rise or fall in any case.
FEWEST = 3


class Trend(NamedTuple):
    """``p`` is two-sided, None for fewer than three values; ``rate`` is per step of the series."""

    n: int
    p: float | None
    rate: float
    change: float


def trend(series: Sequence[float | None]) -> Trend:
    """The trend of the values, None where there is none; a gap counts as a step.

    Values that are not finite are gaps.
    """
    known = [(at, x) for at, x in enumerate(series) if x is not None and math.isfinite(x)]
    values = [x for _, x in known]
    if len(values) < 2:
        return Trend(len(values), None, 0.0, 0.0)
    slopes = [(y - x) / (j - i) for (i, x), (j, y) in itertools.combinations(known, 2)]
    p = mann_kendall(values) if len(values) >= FEWEST else None
    return Trend(len(values), p, median(slopes), values[-1] - values[0])


def mann_kendall(values: Sequence[float]) -> float:
    """The probability, two-sided, that chance orders these values at least as much."""
    s = sum((y > x) - (y < x) for x, y in itertools.combinations(values, 2))
    ties = [count for count in Counter(values).values() if count > 1]
    if not ties and len(values) <= _LONGEST_EXACT:
        return _exact(abs(s), len(values))
    return _approximate(abs(s), len(values), ties)


def _exact(s: int, n: int) -> float:
    # A series with k inversions has S = n (n - 1) / 2 - 2 k.
    most = (n * (n - 1) // 2 - s) // 2
    return min(1.0, 2 * sum(_inversions(n)[: most + 1]) / math.factorial(n))


@functools.cache
def _inversions(n: int) -> tuple[int, ...]:
    """How many orders of n values have 0, 1, 2, … inversions."""
    if n == 1:
        return (1,)
    shorter = _inversions(n - 1)
    longer = [0] * (len(shorter) + n - 1)
    for inversions, count in enumerate(shorter):
        for added in range(n):
            longer[inversions + added] += count
    return tuple(longer)


def _approximate(s: int, n: int, ties: Sequence[int]) -> float:
    variance = (_spread(n) - sum(map(_spread, ties))) / 18
    if s == 0 or variance <= 0:
        return 1.0
    return 2 * NormalDist().cdf(-(s - 1) / math.sqrt(variance))


def _spread(n: int) -> int:
    return n * (n - 1) * (2 * n + 5)


def holm(probabilities: Sequence[float | None], level: float) -> list[bool]:
    """Which of the tests reject at a family error of ``level`` (Holm: Scand. J. Stat. 6, 1979)."""
    order = sorted((p, at) for at, p in enumerate(probabilities) if p is not None)
    rejected = [False] * len(probabilities)
    for place, (p, at) in enumerate(order):
        if p > level / (len(order) - place):
            break
        rejected[at] = True
    return rejected
