"""Compares the statistics of one tensor in two records."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import Check, Fixed, Rule, near, same, walk, within
from pytest_initcheck.baseline.samples import seeds
from pytest_initcheck.baseline.schema import rules
from pytest_initcheck.baseline.tolerance import NUMERIC, Sample
from pytest_initcheck.records import Histogram, TensorStats

Tensors = tuple[TensorStats, TensorStats]
Moment = Callable[[Tensors, str, float, float], Iterator[Check]]


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
            yield Check(lambda _: None, len(rules(TensorStats)))
            return
        yield from walk((a, e), self._special(a, e), self._named, self.fixed)

    def _named(self, label: str) -> str:
        return f"{self.key} {label}"

    def _special(self, a: TensorStats, e: TensorStats) -> dict[str, Rule]:
        """What can be compared: no numbers without finite values, no moments of a single one."""
        found: dict[str, Rule] = {
            "nonfinite": partial(self._nonfinite, (a, e)),
            "zeros": partial(self._zeros, (a, e)),
            "mean": partial(self._number, (a, e), self._mean),
            "std": partial(self._number, (a, e), self._std),
            "extreme": partial(self._number, (a, e), self._extreme),
            "histogram": partial(self._histogram, (a, e)),
        }
        possible = self._possible(a, e)
        return {rule: found[rule] if rule in possible else lambda *_: () for rule in found}

    def _possible(self, a: TensorStats, e: TensorStats) -> list[str]:
        finite = min(a.n - a.nonfinite, e.n - e.nonfinite)
        if finite < 1 or self._is_noise(a, e):
            return ["nonfinite"]
        off = a.zero_share >= 1 or e.zero_share >= 1
        if off or not (finite > 1 or self.fixed):
            return ["nonfinite", "zeros"]
        return ["nonfinite", "zeros", "mean", "std", "extreme", "histogram"]

    def _is_noise(self, a: TensorStats, e: TensorStats) -> bool:
        return all(t.rms is not None and t.rms <= self.noise for t in (a, e))

    def _sizes(self, a: TensorStats, e: TensorStats) -> tuple[float, float]:
        pairs = ((a, self.n_actual), (e, self.n_expected))
        n_a, n_e = (min(n * seeds(t), t.n - t.nonfinite) for t, n in pairs)
        return max(n_a, 1.0), max(n_e, 1.0)

    def _nonfinite(self, pair: Tensors, label: str, x: int, y: int) -> Iterator[Check]:
        key = self._named(label)
        shares = x / max(pair[0].n, 1), y / max(pair[1].n, 1)
        yield self._share(pair, key, *shares) if x and y else same(key, x, y)

    def _zeros(self, pair: Tensors, label: str, x: float, y: float) -> Iterator[Check]:
        if x >= 1 or y >= 1:
            # Chance does not switch a whole tensor off, unless few enough units decide it.
            all_off = same(self._named("all zero"), x >= 1, y >= 1)
            yield Check(lambda alpha: None if self.vanishing > alpha else all_off.judge(alpha))
        yield self._share(pair, self._named(label), x, y)

    def _share(self, pair: Tensors, key: str, x: float, y: float) -> Check:
        fixed = self.fixed
        if fixed:
            return near(key, x, y, lambda _: fixed.around(1.0))
        n_a, n_e = self._sizes(*pair)
        return near(key, x, y, lambda alpha: tolerance.shares(alpha, x, n_a, y, n_e))

    def _number(
        self, pair: Tensors, by_chance: Moment, label: str, x: float | None, y: float | None
    ) -> Iterator[Check]:
        key, fixed = self._named(label), self.fixed
        if x is None or y is None:
            yield same(key, x, y)
        elif fixed:
            yield near(key, x, y, lambda _: fixed.around(y, pair[1].rms))
        else:
            yield from by_chance(pair, key, x, y)

    def _mean(self, pair: Tensors, key: str, x: float, y: float) -> Iterator[Check]:
        sizes = zip(pair, self._sizes(*pair), strict=True)
        samples = [_sample(t, n) for t, n in sizes]
        floor = NUMERIC * (pair[1].rms or 0.0)
        yield near(key, x, y, lambda alpha: tolerance.means(alpha, *samples) + floor)

    def _std(self, pair: Tensors, key: str, x: float, y: float) -> Iterator[Check]:
        sizes = zip(pair, self._sizes(*pair), strict=True)
        df = [tolerance.degrees(n, t) for t, n in sizes]
        floor = NUMERIC * (pair[1].rms or 0.0)
        yield within(key, x, y, lambda alpha: _widened(tolerance.deviations(alpha, y, *df), floor))

    def _extreme(self, pair: Tensors, key: str, x: float, y: float) -> Iterator[Check]:
        n = min(self._sizes(*pair))
        side = min(abs(x - (pair[0].mean or 0.0)), abs(y - (pair[1].mean or 0.0)))
        floor = NUMERIC * abs(y)
        if n >= tolerance.FEWEST_FOR_RANGE:
            yield near(key, x, y, lambda alpha: tolerance.extremes(alpha, side, n) + floor)

    def _histogram(
        self, pair: Tensors, label: str, x: Histogram | None, y: Histogram | None
    ) -> Iterator[Check]:
        if x is None or y is None:
            yield same(self._named(label), x and "present", y and "present")
            return
        fixed, sizes = self.fixed, zip(self._sizes(*pair), (x, y), strict=True)
        n_a, n_e = (min(n, histogram.sampled) or 1 for n, histogram in sizes)
        yield near(
            self._named(f"{label} distance"),
            tolerance.distance(x, y),
            0.0,
            lambda alpha: fixed.around(1.0) if fixed else tolerance.distances(alpha, n_a, n_e),
        )
        special: dict[str, Rule] = {"distance": lambda *_: ()}
        yield from walk((x, y), special, lambda own: self._named(f"{label} {own}"), fixed)


def _sample(stats: TensorStats, n: float) -> Sample:
    n = max(n, 2.0)
    return Sample(n, stats.mean or 0.0, (stats.std or 0.0) * math.sqrt(n / (n - 1)))


def _widened(bounds: tuple[float, float], floor: float) -> tuple[float, float]:
    return bounds[0] - floor, bounds[1] + floor
