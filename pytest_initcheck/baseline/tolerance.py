"""How far two samples of one distribution may lie apart, given their sizes and an error rate.

Every function takes ``alpha``, the probability with which two fresh samples may leave the
tolerance by chance (two-sided), and returns what is allowed.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from functools import lru_cache

from pytest_initcheck.records import Histogram, TensorStats

NUMERIC = 1e-4  # what another machine or thread count changes in float32, relative to the scale
FEWEST_FOR_RANGE = 64
FEWEST_FOR_KURTOSIS = 64
FEWEST_FOR_SHAPE = 1024
HEAVY = 9.0  # the kurtosis of an exponential distribution

_EPSILON = {
    "float64": 2.0**-52,
    "complex128": 2.0**-52,
    "float16": 2.0**-10,
    "bfloat16": 2.0**-7,
    "float8_e4m3fn": 2.0**-3,
    "float8_e5m2": 2.0**-2,
}


def epsilon(dtype: str) -> float:
    """The distance from 1 to the next number of a dtype; of any other, that of float32."""
    return _EPSILON.get(dtype, 2.0**-23)


@dataclass(frozen=True)
class Sample:
    """``n`` independent values (a real number, at least 1) with mean and sample deviation."""

    n: float
    mean: float
    sd: float


@lru_cache(maxsize=4096)
def reach(alpha: float, df: float) -> float:
    """The two-sided critical value of Student's t; ``df`` below 1 counts as 1."""
    from scipy.special import stdtrit

    return float(-stdtrit(max(df, 1.0), alpha / 2))


@lru_cache(maxsize=4096)
def largest_ratio(alpha: float, df: float, df_other: float) -> float:
    """By which factor one standard deviation may exceed the other (F distribution)."""
    from scipy.special import fdtri

    tail = float(fdtri(max(df_other, 1.0), max(df, 1.0), alpha / 2))
    return math.sqrt(1 / tail) if tail > 0 else math.inf


def means(alpha: float, a: Sample, b: Sample) -> float:
    """Allowed distance of two means (Welch, Biometrika 34, 1947).

    A single value stands against the other sample's prediction interval; two single values, or
    two samples without any spread, allow nothing.
    """
    if a.n <= 1 or b.n <= 1:
        known = a if a.n > 1 else b
        return reach(alpha, known.n - 1) * known.sd * math.sqrt(1 / a.n + 1 / b.n)
    errors = [s.sd / math.sqrt(s.n) for s in (a, b)]
    error = math.hypot(*errors)
    if not 0 < error < math.inf:
        return error
    # By shares: the squares of tiny and huge errors leave the range of floats.
    df = 1 / sum((e / error) ** 4 / (s.n - 1) for e, s in zip(errors, (a, b), strict=True))
    return reach(alpha, df) * error


def deviations(alpha: float, expected: float, df: float, df_expected: float) -> tuple[float, float]:
    """The lowest and highest standard deviation allowed beside ``expected``."""
    low = expected / largest_ratio(alpha, df_expected, df)
    return low, expected * largest_ratio(alpha, df, df_expected)


def widened(bound: float, around: float, factor: float) -> float:
    """A bound of a scale, ``factor`` times as far from ``around`` in its logarithm."""
    if factor == 1.0 or not (0 < bound < math.inf and around > 0):
        return bound
    # Beyond e^±300 lies no number that is of use.
    return around * math.exp(max(min(math.log(bound / around) * factor, 300.0), -300.0))


def degrees(n: float, stats: TensorStats) -> float:
    """Degrees of freedom of a standard deviation over ``n`` independent values.

    The variance of s² is σ⁴(κ − 1)/n. A normal distribution (κ = 3) gives the usual 1/√(2n)
    for s; heavier tails, seen in the histogram, give fewer degrees; lighter ones are not credited.
    Few values hide their tails: the excess that is seen is raised by 40/n, which is its bias for a
    Laplace distribution, and below 64 values that distribution (κ = 6) is assumed.
    """
    histogram = stats.histogram
    seen = (_kurtosis(histogram) - 3) * (1 + 40 / max(stats.n, 1)) if histogram else 0.0
    kurtosis = 3 + max(seen, 3.0 if stats.n < FEWEST_FOR_KURTOSIS else 0.0)
    return max(min(n - 1, 2 * n / (kurtosis - 1)), 1.0)


def _kurtosis(histogram: Histogram) -> float:
    return kurtosis(histogram)[0]


def kurtosis(histogram: Histogram) -> tuple[float, float]:
    """The kurtosis of binned values, and n times the variance of that estimate.

    The latter is the mean square of the influence function z⁴ − κ − 2κ(z² − 1) − 4γz, where z are
    the standardised values, κ their kurtosis and γ their skewness (the delta method): 24 for a
    normal distribution, which is assumed where all values lie in one bin.
    """
    # On the scale of the bins, so that neither tiny nor huge values leave the range of floats.
    counts = histogram.counts
    total = sum(counts)
    mean = sum(i * c for i, c in enumerate(counts)) / total if total else 0.0
    second = sum(c * (i - mean) ** 2 for i, c in enumerate(counts)) / total if total else 0.0
    if second <= 0:
        return 3.0, 24.0
    places = [(i - mean) / math.sqrt(second) for i in range(len(counts))]
    skew, fourth = (
        sum(c * z**power for z, c in zip(places, counts, strict=True)) / total for power in (3, 4)
    )
    influence = [z**4 - fourth - 2 * fourth * (z * z - 1) - 4 * skew * z for z in places]
    return fourth, sum(c * x * x for c, x in zip(counts, influence, strict=True)) / total


def kurtoses(alpha: float, error: float) -> float:
    """Allowed distance of two kurtoses with this standard error.

    Half as much again for what the tail holds that few values do not show, and for the bins.
    """
    return 1.5 * reach(alpha, math.inf) * error + 0.05


def shares(alpha: float, a: float, n_a: float, b: float, n_b: float) -> float:
    """Allowed distance of two binomial shares; the pooled share, with continuity correction."""
    pooled = (a * n_a + b * n_b) / (n_a + n_b)
    error = math.sqrt(max(pooled * (1 - pooled), 0.0) * (1 / n_a + 1 / n_b))
    return reach(alpha, math.inf) * error + (1 / n_a + 1 / n_b) / 2


def extremes(alpha: float, side: float, n: float) -> float:
    """Allowed distance of the maxima (or minima) of two samples.

    ``side`` is the distance from mean to maximum. The maximum of n values varies on the scale a
    of a Gumbel distribution (Fisher and Tippett, 1928), and two maxima lie a·ln(2/alpha) apart
    with probability alpha. For an exponential tail a = side/ln n, of which half as much again is
    taken, since ``side`` is itself chance; thinner tails vary less, so that the bound is loose for
    normal or uniform values. It finds outliers, not shifts.
    """
    return 1.5 * math.log(2 / alpha) * side / max(math.log(n), 1.0)


def distances(alpha: float, n_a: float, n_b: float) -> float:
    """The two-sample Kolmogorov-Smirnov critical distance (Smirnov, 1948)."""
    return math.sqrt(-math.log(alpha / 2) / 2 * (1 / n_a + 1 / n_b))


def distance(a: Histogram, b: Histogram) -> float:
    """The least Kolmogorov-Smirnov distance that two binned samples can have, in [0, 1].

    Bins of different width cannot tell where in a bin the values lie; the distance counts only
    what no arrangement within the bins explains.
    """
    first, second = _Steps(a), _Steps(b)
    if a.edges == b.edges:
        pairs = zip(first.shares, second.shares, strict=True)
        return max(abs(x - y) for x, y in pairs)
    return max(first.excess(second), second.excess(first), 0.0)


class _Steps:
    """Bounds of a binned sample's distribution function."""

    def __init__(self, histogram: Histogram) -> None:
        self.edges = histogram.edges
        self.low, self.high = histogram.low, histogram.high
        self.width = (self.high - self.low) / len(histogram.counts)
        total = max(sum(histogram.counts), 1)
        sums = itertools.accumulate(histogram.counts, initial=0)
        self.shares = [s / total for s in sums]

    def excess(self, other: _Steps) -> float:
        """The most by which a share up to an own edge leaves the other's bounds there."""
        worst = 0.0
        for x, share in zip(self.edges, self.shares, strict=True):
            # The edge itself is rounded on the scale of its own range.
            least, most = other._bounds(x, 1e-12 * max(abs(self.low), abs(self.high)))
            worst = max(worst, least - share, share - most)
        return worst

    def _bounds(self, x: float, error: float) -> tuple[float, float]:
        # A value on an edge may be counted on either side of it: the slack takes in both.
        slack = max(1e-6 * max(abs(self.low), abs(self.high)), error)
        if not self.width > 0:
            return float(x > self.low + slack), float(x >= self.low - slack)
        below = math.floor((x - slack - self.low) / self.width - 1e-9)
        above = math.ceil((x + slack - self.low) / self.width + 1e-9)
        return self.shares[self._place(below)], self.shares[self._place(above)]

    def _place(self, bin: int) -> int:
        return min(max(bin, 0), len(self.shares) - 1)
