"""Compares the statistics of one tensor in two records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import (
    FieldRule,
    Fixed,
    ValueCheck,
    near,
    nothing,
    same,
    walk,
    within,
)
from pytest_initcheck.baseline.samples import seeds
from pytest_initcheck.baseline.schema import rules
from pytest_initcheck.baseline.tolerance import NUMERIC, Sample
from pytest_initcheck.records import Histogram, TensorStats

Moment = Callable[[str, float, float], ValueCheck]


@dataclass(frozen=True, kw_only=True)
class Chance:
    """What may be chance in a tensor; ``numbers`` are its independent values per seed, in both.

    Where both tensors lie below ``noise`` (root mean square) only their form is compared.
    ``vanishing`` is the probability that all values are zero by chance; ``is_drawn`` says that
    every value was drawn on its own, as those of a fresh weight are, and ``is_data`` that it is
    the samples that may be others.
    """

    numbers: tuple[float, float]
    fixed: Fixed | None = None
    noise: float = 0.0
    vanishing: float = 0.0
    is_drawn: bool = False
    is_data: bool = False


def tensor(
    key: str, actual: TensorStats | None, expected: TensorStats | None, chance: Chance
) -> Iterator[ValueCheck]:
    """Form, counts, and as many numbers as both tensors have."""
    if actual is None or expected is None:
        if actual is not expected:
            yield same(key, actual and "present", expected and "present")
    elif actual == expected:
        yield ValueCheck(judge=lambda _: None, values=len(rules(TensorStats)))
    else:
        yield from _Pair(key, actual, expected, chance).checks()


@dataclass(frozen=True)
class _Pair:
    key: str
    actual: TensorStats
    expected: TensorStats
    chance: Chance

    def checks(self) -> Iterator[ValueCheck]:
        possible = self._possible()
        special: dict[str, FieldRule] = {
            "nonfinite": self._nonfinite,
            "zeros": self._zeros,
            "mean": partial(self._number, self._mean),
            "std": partial(self._number, self._std),
            "extreme": partial(self._number, self._extreme),
            "histogram": self._histogram,
        }
        if not self._is_continuous():
            # Moments of a few kinds of values are far from normal; the distance holds for all.
            possible = tuple(name for name in possible if name not in ("mean", "std", "extreme"))
        special = {name: rule if name in possible else nothing for name, rule in special.items()}
        return walk((self.actual, self.expected), special, self._named, self.chance.fixed)

    def _possible(self) -> tuple[str, ...]:
        """No numbers without finite values, no moments of a single one."""
        a, e = self.actual, self.expected
        finite = min(a.n - a.nonfinite, e.n - e.nonfinite)
        if finite < 1 or all(t.rms is not None and t.rms <= self.chance.noise for t in (a, e)):
            return ("nonfinite",)
        if max(a.zero_share, e.zero_share) >= 1 or not (finite > 1 or self.chance.fixed):
            return ("nonfinite", "zeros")
        return ("nonfinite", "zeros", "mean", "std", "extreme", "histogram")

    def _is_continuous(self) -> bool:
        return (
            "float" in self.actual.dtype
            or "complex" in self.actual.dtype
            or bool(self.chance.fixed)
        )

    def _named(self, label: str) -> str:
        return f"{self.key} {label}"

    @cached_property
    def _sizes(self) -> tuple[float, float]:
        pairs = zip((self.actual, self.expected), self.chance.numbers, strict=True)
        n_a, n_e = (max(min(n * seeds(t), t.n - t.nonfinite), 1.0) for t, n in pairs)
        return n_a, n_e

    @property
    def _floor(self) -> float:
        return NUMERIC * (self.expected.rms or 0.0)

    def _nonfinite(self, label: str, x: int, y: int) -> Iterator[ValueCheck]:
        key = self._named(label)
        shares = x / max(self.actual.n, 1), y / max(self.expected.n, 1)
        yield self._share(key, *shares) if x and y else same(key, x, y)

    def _zeros(self, label: str, x: float, y: float) -> Iterator[ValueCheck]:
        if x >= 1 or y >= 1:
            # Chance does not switch a whole tensor off, unless few enough units decide it.
            off = same(self._named("all zero"), x >= 1, y >= 1)
            yield replace(off, judge=lambda a: None if self._vanishing(a) > a else off.judge(a))
        fixed = self.chance.fixed
        if not (fixed and fixed.is_rounding and self.chance.noise):
            # Elsewhere what is zero on paper is a zero here and a rounding error there.
            yield self._share(self._named(label), x, y)

    def _vanishing(self, alpha: float) -> float:
        """The probability that all values are zero by chance."""
        if not self.chance.is_data:
            return self.chance.vanishing
        # Zeros may have as large a share as not one of n samples could have shown.
        n = min(self._sizes)
        share = max(1 - alpha ** (1 / n), min(self.actual.zero_share, self.expected.zero_share))
        return float(share**n)

    def _share(self, key: str, x: float, y: float) -> ValueCheck:
        fixed, (n_a, n_e) = self.chance.fixed, self._sizes
        if fixed:
            allowed = fixed.of_share(self.expected.n)
            return near(key, x, y, lambda _: allowed, scale=1.0, is_certain=True)
        return near(key, x, y, lambda alpha: tolerance.shares(alpha, x, n_a, y, n_e), scale=1.0)

    def _number(
        self, by_chance: Moment, label: str, x: float | None, y: float | None
    ) -> Iterator[ValueCheck]:
        key, fixed = self._named(label), self.chance.fixed
        if x is None or y is None:
            yield same(key, x, y)
        elif fixed:
            scale = self.expected.rms
            allowed = fixed.around(y, scale)
            yield near(key, x, y, lambda _: allowed, scale=scale, is_certain=True)
        else:
            yield by_chance(key, x, y)

    @cached_property
    def _rows(self) -> tuple[float, float] | None:
        """The samples of data whose independent values were measured, in both."""
        sides = (self.actual, self.expected)
        if not all(side.independent and side.shape for side in sides):
            return None
        n_a, n_e = self.chance.numbers
        return min(n_a, self.actual.shape[0]), min(n_e, self.expected.shape[0])

    def _independent(self, moment: int) -> tuple[float, float]:
        """The sizes for the mean (0) or the variance (1); of data these are measured."""
        if self._rows is None:
            return self._sizes
        triples = zip((self.actual, self.expected), self._rows, strict=True)
        n_a, n_e = (max(t.independent[moment] * n / t.shape[0], 1.0) for t, n in triples)
        return n_a, n_e

    def _unsure(self, alpha: float) -> float:
        """By how much to widen a tolerance whose standard error was itself measured on rows."""
        if self._rows is None:
            return 1.0
        return tolerance.reach(alpha, min(self._rows) - 1) / tolerance.reach(alpha, math.inf)

    def _mean(self, key: str, x: float, y: float) -> ValueCheck:
        pairs = zip((self.actual, self.expected), self._independent(0), strict=True)
        a, e = (_sample(t, n) for t, n in pairs)

        def allowed(alpha: float) -> float:
            return tolerance.means(alpha, a, e) * self._unsure(alpha) + self._floor

        return near(key, x, y, allowed, scale=self.expected.rms)

    def _std(self, key: str, x: float, y: float) -> ValueCheck:
        if self._rows is not None and self._is_heavy():
            # How far such a deviation may lie follows from a few values that others may lack.
            return ValueCheck(judge=lambda _: None, values=0)
        sizes, sides = self._independent(1), (self.actual, self.expected)
        if self._rows is None:
            df = [tolerance.degrees(n, t) for t, n in zip(sides, sizes, strict=True)]
        else:
            df = [max(n - 1, 1.0) for n in sizes]

        def bounds(alpha: float) -> tuple[float, float]:
            low, high = tolerance.deviations(alpha, y, *df)
            low, high = (tolerance.widened(x, y, self._unsure(alpha)) for x in (low, high))
            return max(low - self._floor, 0.0), high + self._floor

        return within(key, x, y, bounds)

    def _extreme(self, key: str, x: float, y: float) -> ValueCheck:
        n, floor = min(self._sizes), NUMERIC * abs(y)
        if n < tolerance.FEWEST_FOR_RANGE or self._is_heavy():
            return ValueCheck(judge=lambda _: None, values=0)
        side = min(abs(x - (self.actual.mean or 0.0)), abs(y - (self.expected.mean or 0.0)))
        return near(
            key, x, y, lambda alpha: tolerance.extremes(alpha, side, n) + floor, scale=abs(y)
        )

    def _is_heavy(self) -> bool:
        """Whether the tails are heavier than exponential, so that anything may lie out there."""
        histograms = (t.histogram for t in (self.actual, self.expected))
        heavy = [tolerance.kurtosis(h)[0] > tolerance.HEAVY for h in histograms if h]
        # A single outlier among what was drawn is what is looked for; data may be that way.
        return all(heavy) if self.chance.is_drawn else any(heavy)

    def _histogram(
        self, label: str, x: Histogram | None, y: Histogram | None
    ) -> Iterator[ValueCheck]:
        key, fixed = self._named(label), self.chance.fixed
        if x is None or y is None:
            yield same(key, x and "present", y and "present")
            return
        if fixed and fixed.is_rounding:
            # Values on the edge of a bin, of which there may be many, go to either side.
            return
        n_a, n_e = (min(n, h.sampled) or 1 for n, h in zip(self._sizes, (x, y), strict=True))
        yield near(
            f"{key} distance",
            tolerance.distance(x, y),
            0.0,
            lambda alpha: fixed.around(1.0) if fixed else tolerance.distances(alpha, n_a, n_e),
            scale=1.0,
            is_certain=fixed is not None,
        )
        if self.chance.is_drawn and not fixed and min(n_a, n_e) >= tolerance.FEWEST_FOR_SHAPE:
            yield self._kurtosis(key.replace("histogram", "kurtosis"), (x, n_a), (y, n_e))
        yield from walk((x, y), {"distance": nothing}, lambda own: f"{key} {own}", fixed)

    def _kurtosis(
        self, key: str, a: tuple[Histogram, float], e: tuple[Histogram, float]
    ) -> ValueCheck:
        (x, spread_x), (y, spread_y) = (tolerance.kurtosis(h) for h, _ in (a, e))
        error = math.sqrt(spread_x / a[1] + spread_y / e[1])
        return near(key, x, y, lambda alpha: tolerance.kurtoses(alpha, error), scale=y)


def _sample(stats: TensorStats, n: float) -> Sample:
    n = max(n, 2.0)
    return Sample(n, stats.mean or 0.0, (stats.std or 0.0) * math.sqrt(n / (n - 1)))
