"""Compares metrics and curves over seeds: the spread over seeds says what is chance."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.judge import (
    ATOL,
    RTOL,
    FieldRule,
    Fixed,
    Unjudged,
    ValueCheck,
    apart,
    nothing,
    relative,
    same,
    walk,
)
from pytest_initcheck.baseline.pairing import MOST_EQUAL, Seeds, expected_for
from pytest_initcheck.baseline.stored import Band, band
from pytest_initcheck.baseline.tolerance import NUMERIC, Sample
from pytest_initcheck.records import Curve, Difference

# Seeds without which nobody knows what is chance.
FEWEST = 4
THIN = f"not compared, as other seeds take {FEWEST} of them on both sides"

# Error rate, values at the first point, values at this point (actual, expected) to allowed.
LossAllowed = Callable[[float, tuple[float, float], tuple[float, float]], float]


def metric(
    name: str,
    actual: Curve | None,
    expected: Curve | None,
    fixed: Fixed | None,
    curves: Sequence[Band | None] = (),
    *,
    seeds: tuple[Seeds, Seeds] = ((), ()),
) -> Iterator[ValueCheck]:
    """One value per seed on each side; None where a side does not have the metric.

    ``curves`` are those of the same name, whose spread stands in where the values have none.
    ``seeds`` are those of both sides. Where they differ, fewer than four of them say nothing on
    what is chance; where some are the same, their values may be paired.
    """
    key = f"metric {name}"
    are_paired = False
    if actual and expected:
        expected, are_paired = expected_for(actual, expected, seeds)
    are_fresh = all(seeds) and not are_paired
    if are_fresh and not fixed and _is_thin(actual, expected):
        yield ValueCheck(judge=lambda _: None, values=0, unjudged=Unjudged(name, THIN))
        return
    if actual and expected and not any(map(math.isfinite, actual + expected)):
        yield same(key, _kinds(actual), _kinds(expected))
        return
    bands = [None if v is None else band(tuple((x,) for x in v)) for v in (actual, expected)]
    yield from BandPair(
        key=key,
        actual=bands[0],
        expected=bands[1],
        fixed=fixed,
        spread=usual_spread(curves),
        pairs=_paired(actual, expected) if are_paired and actual and expected else None,
    ).checks()


def _is_thin(actual: Curve | None, expected: Curve | None) -> bool:
    sizes = [sum(map(math.isfinite, side)) for side in (actual, expected) if side]
    return len(sizes) == 2 and min(sizes) < FEWEST


def _paired(actual: Curve, expected: Curve) -> Sample | None:
    """The differences seed by seed; None where they are too few, or say nothing on chance."""
    apart = [x - y for x, y in zip(actual, expected, strict=False)]
    finite = [value for value in apart if math.isfinite(value)]
    if len(actual) != len(expected) or len(finite) < max(len(apart), MOST_EQUAL):
        return None
    spread = statistics.stdev(finite)
    return Sample(len(finite), statistics.fmean(finite), spread) if spread > 0 else None


def usual_spread(bands: Sequence[Band | None]) -> float:
    """The root mean square over all points of the standard deviations over seeds; 0 for none."""
    squares = [sd**2 for b in bands if b for sd in b.sd]
    return math.sqrt(math.fsum(squares) / len(squares)) if squares else 0.0


def _kinds(values: Curve) -> str:
    return ", ".join(sorted({str(value) for value in values}))


@dataclass(frozen=True, kw_only=True)
class BandPair:
    """A curve over seeds in both records.

    ``loss`` gives the tolerance of a single curve that belongs to a model of which the record
    holds the layers: fresh weights alone move it. ``spread`` is what seeds are known to do to
    values of this kind; a few seeds may agree by chance where values are counts of samples.
    ``pairs`` are the differences seed by seed, where both have the same seeds.
    """

    key: str
    actual: Band | None
    expected: Band | None
    fixed: Fixed | None = None
    loss: LossAllowed | None = None
    spread: float = 0.0
    pairs: Sample | None = None

    def checks(self) -> Iterator[ValueCheck]:
        """Presence, length, and the worst point."""
        a, e = self.actual, self.expected
        if a is None or e is None:
            yield same(self.key, a and "recorded", e and "recorded")
            return
        worst = ValueCheck(
            judge=lambda alpha: self._worst(a, e, alpha),
            values=len(a.mean),
            **self._largest(a, e),
        )
        if a.length != e.length:
            worst = same(f"{self.key} points", a.length, e.length)
        special: dict[str, FieldRule] = {"points": lambda *_: [worst], "point": nothing}
        yield from walk((a, e), special, lambda label: f"{self.key} {label}", self.fixed)

    def _worst(self, a: Band, e: Band, alpha: float) -> Difference | None:
        points = (self._point(a, e, i, alpha) for i in range(len(a.mean)))
        found = [difference for difference in points if difference is not None]
        return max(found, key=lambda difference: difference.excess, default=None)

    def _point(self, a: Band, e: Band, i: int, alpha: float) -> Difference | None:
        key = self.key
        if a.length > 1:
            key += f", point {a.positions[i] + 1} of {a.length}"
        odd = self._odd(key, a, e, i, alpha)
        x, y = a.mean[i], e.mean[i]
        if odd or x is None or y is None:
            return odd
        return apart(key, x, y, self._allowed(a, e, i, alpha, (x, y)))

    def _largest(self, a: Band, e: Band) -> dict[str, Any]:
        """The point that moved most as a share of its value; none where a seed is not finite."""
        if a.length != e.length or any(a.nonfinite) or any(e.nonfinite):
            return {}
        points = [
            (relative(x, y, abs(y)), i, (x, y))
            for i, (x, y) in enumerate(zip(a.mean, e.mean, strict=True))
            if x is not None and y is not None
        ]
        if not points:
            return {}
        largest, at, pair = max(points, key=lambda point: point[0])
        is_chance = any(a.sd) or any(e.sd) or self._usual or self.loss
        return {
            "size": largest,
            "is_certain": bool(self.fixed) or not is_chance,
            "key": self.key,
            "pair": pair,
            "allowed": lambda alpha: self._allowed(a, e, at, alpha, pair),
        }

    def _odd(self, key: str, a: Band, e: Band, i: int, alpha: float) -> Difference | None:
        mine, theirs = a.nonfinite[i], e.nonfinite[i]
        shares = mine / max(a.seeds, 1), theirs / max(e.seeds, 1)
        # Fewer seeds may well not have met the one that is lost.
        is_rare = not mine and a.seeds < e.seeds
        if bool(mine) == bool(theirs) or is_rare:
            allowed = 0.0
            if theirs:
                allowed = tolerance.shares(alpha, shares[0], a.seeds, shares[1], e.seeds)
            if abs(shares[0] - shares[1]) <= allowed:
                return None
        texts = [f"{n} of {s} seeds" for n, s in ((mine, a.seeds), (theirs, e.seeds))]
        return same(f"{key} not finite", *texts).judge(alpha)

    def _allowed(
        self, a: Band, e: Band, i: int, alpha: float, values: tuple[float, float]
    ) -> float:
        if self.fixed:
            return self.fixed.around(values[1])
        spreads = a.sd[i], e.sd[i]
        if not any(spreads):
            spreads = (self._usual,) * 2
        if not any(spreads):
            first = a.mean[0], e.mean[0]
            is_single = a.seeds == e.seeds == 1
            if self.loss and is_single and first[0] is not None and first[1] is not None:
                return self.loss(alpha, (first[0], first[1]), values)
            return ATOL + RTOL * abs(values[1])
        samples = [
            Sample(b.seeds - b.nonfinite[i], b.mean[i] or 0.0, sd)
            for b, sd in zip((a, e), spreads, strict=True)
        ]
        if self.pairs is None:
            return tolerance.means(alpha, *samples) + NUMERIC * abs(values[1])
        # Two tests of one value share its error rate.
        n, spread = self.pairs.n, self.pairs.sd
        paired = tolerance.reach(alpha / 2, n - 1) * spread / math.sqrt(n)
        return min(paired, tolerance.means(alpha / 2, *samples)) + NUMERIC * abs(values[1])

    @cached_property
    def _usual(self) -> float:
        return self.spread or usual_spread((self.actual, self.expected))
