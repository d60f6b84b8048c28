"""Compares the statistics of one tensor in two records."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import Check, Fixed, near, same, within
from pytest_initcheck.baseline.samples import seeds
from pytest_initcheck.baseline.tolerance import NUMERIC, Sample
from pytest_initcheck.records import TensorStats

# dtype, shape, non-finite, zeros, mean, std, min, max, histogram.
_VALUES = 9


@dataclass(frozen=True, kw_only=True)
class TensorPair:
    """The statistics of one tensor in both; ``n_…`` are independent values per seed.

    Where both lie below ``noise`` (root mean square) only their form is compared. ``vanishing``
    is the probability that all values are zero by chance.
    """

    key: str
    actual: TensorStats | None
    expected: TensorStats | None
    n_actual: float
    n_expected: float
    fixed: Fixed | None = None
    noise: float = 0.0
    vanishing: float = 0.0

    def checks(self) -> Iterator[Check]:
        """Form, counts, and as many numbers as both have."""
        a, e = self.actual, self.expected
        if a is None or e is None:
            if a is not e:
                yield same(self.key, a and "present", e and "present")
            return
        if a == e:
            yield Check(lambda _: None, _VALUES)
            return
        yield same(f"{self.key} dtype", a.dtype, e.dtype)
        yield same(f"{self.key} shape", a.shape, e.shape)
        yield self._nonfinite(a, e)
        if a.n > a.nonfinite and e.n > e.nonfinite and not self._is_noise(a, e):
            yield from self._numbers(a, e)

    def _is_noise(self, a: TensorStats, e: TensorStats) -> bool:
        return all(t.rms is not None and t.rms <= self.noise for t in (a, e))

    def _sizes(self, a: TensorStats, e: TensorStats) -> tuple[float, float]:
        pairs = ((a, self.n_actual), (e, self.n_expected))
        n_a, n_e = (min(n * seeds(t), t.n - t.nonfinite) for t, n in pairs)
        return max(n_a, 1.0), max(n_e, 1.0)

    def _nonfinite(self, a: TensorStats, e: TensorStats) -> Check:
        key = f"{self.key} nonfinite"
        if not a.nonfinite or not e.nonfinite:
            return same(key, a.nonfinite, e.nonfinite)
        return self._share(key, a.nonfinite / a.n, e.nonfinite / e.n, a, e)

    def _share(self, key: str, x: float, y: float, a: TensorStats, e: TensorStats) -> Check:
        fixed = self.fixed
        if fixed:
            return near(key, x, y, lambda _: fixed.around(1.0))
        n_a, n_e = self._sizes(a, e)
        return near(key, x, y, lambda alpha: tolerance.shares(alpha, x, n_a, y, n_e))

    def _numbers(self, a: TensorStats, e: TensorStats) -> Iterator[Check]:
        off_a, off_e = a.zero_share >= 1, e.zero_share >= 1
        if off_a or off_e:
            # Chance does not switch a whole tensor off, unless few enough units decide it.
            yield Check(
                lambda alpha: (
                    None
                    if self.vanishing > alpha
                    else same(f"{self.key} all zero", off_a, off_e).judge(alpha)
                )
            )
            yield self._share(f"{self.key} zero_share", a.zero_share, e.zero_share, a, e)
            return
        yield self._share(f"{self.key} zero_share", a.zero_share, e.zero_share, a, e)
        if self.fixed:
            yield from self._at_fixed(a, e, self.fixed)
        elif min(a.n - a.nonfinite, e.n - e.nonfinite) > 1:
            yield from self._moments(a, e)
            yield from self._range(a, e)
            yield from self._shape_of_values(a, e)

    def _at_fixed(self, a: TensorStats, e: TensorStats, fixed: Fixed) -> Iterator[Check]:
        for name in ("mean", "std", "min", "max"):
            x, y = getattr(a, name), getattr(e, name)
            yield self._number(name, x, y, fixed.around(y, e.rms))
        if a.histogram and e.histogram:
            apart = tolerance.distance(a.histogram, e.histogram)
            yield near(f"{self.key} histogram distance", apart, 0.0, lambda _: fixed.around(1.0))

    def _number(self, name: str, x: float | None, y: float | None, allowed: float) -> Check:
        key = f"{self.key} {name}"
        if x is None or y is None:
            return same(key, x, y)
        return near(key, x, y, lambda _: allowed)

    def _moments(self, a: TensorStats, e: TensorStats) -> Iterator[Check]:
        if None in (a.mean, e.mean, a.std, e.std):
            yield same(f"{self.key} mean", a.mean is None, e.mean is None)
            return
        samples = [_sample(t, n) for t, n in zip((a, e), self._sizes(a, e), strict=True)]
        floor = NUMERIC * (e.rms or 0.0)
        yield near(
            f"{self.key} mean",
            samples[0].mean,
            samples[1].mean,
            lambda alpha: tolerance.means(alpha, samples[0], samples[1]) + floor,
        )
        df_a, df_e = (
            tolerance.degrees(n, t) for t, n in zip((a, e), self._sizes(a, e), strict=True)
        )
        yield within(
            f"{self.key} std",
            a.std or 0.0,
            e.std or 0.0,
            lambda alpha: _widened(tolerance.deviations(alpha, e.std or 0.0, df_a, df_e), floor),
        )

    def _range(self, a: TensorStats, e: TensorStats) -> Iterator[Check]:
        sizes = self._sizes(a, e)
        if min(sizes) < tolerance.FEWEST_FOR_RANGE or a.mean is None or e.mean is None:
            return
        for name in ("min", "max"):
            x, y = getattr(a, name), getattr(e, name)
            if x is None or y is None:
                yield same(f"{self.key} {name}", x, y)
                continue
            yield self._extreme(name, x, y, min(abs(x - a.mean), abs(y - e.mean)), min(sizes))

    def _extreme(self, name: str, x: float, y: float, side: float, n: float) -> Check:
        floor = NUMERIC * abs(y)
        return near(
            f"{self.key} {name}", x, y, lambda alpha: tolerance.extremes(alpha, side, n) + floor
        )

    def _shape_of_values(self, a: TensorStats, e: TensorStats) -> Iterator[Check]:
        mine, theirs = a.histogram, e.histogram
        if mine is None or theirs is None:
            return
        n_a, n_e = (
            min(n, sum(h.counts)) or 1
            for n, h in zip(self._sizes(a, e), (mine, theirs), strict=True)
        )
        yield near(
            f"{self.key} histogram distance",
            tolerance.distance(mine, theirs),
            0.0,
            lambda alpha: tolerance.distances(alpha, n_a, n_e),
        )


def _sample(stats: TensorStats, n: float) -> Sample:
    n = max(n, 2.0)
    return Sample(n, stats.mean or 0.0, (stats.std or 0.0) * math.sqrt(n / (n - 1)))


def _widened(bounds: tuple[float, float], floor: float) -> tuple[float, float]:
    return bounds[0] - floor, bounds[1] + floor
