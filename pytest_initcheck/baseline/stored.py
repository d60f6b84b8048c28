"""The stored form of a record: rounded, curves reduced to a band, without what is not compared."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pytest_initcheck.baseline.schema import frozen, rounded
from pytest_initcheck.records import Count, Curve, Finite, RunRecord
from pytest_initcheck.serialization import No, Use

MOST_POINTS = 64
LONGEST = 100_000
# What the provenance says of a start's health.
VERDICT, ALLOWED = "verdict", "allowed"
_IN_MEAN = No("it says how far the mean may lie")


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve over seeds: mean and sample standard deviation at no more than 64 of its points.

    ``length`` is the full number of points and ``positions`` says which are kept (first and last
    always); ``nonfinite`` counts, per kept point, the seeds whose value was NaN, inf or absent.
    ``mean`` is None where no seed had a finite value, ``sd`` is 0 where fewer than two had.
    """

    seeds: Annotated[Count, Use(compared=_IN_MEAN, shown=No("the seeds are listed"))]
    length: Annotated[Count, Use(compared="points")]
    mean: Annotated[tuple[Finite | None, ...], Use(compared="point")]
    sd: Annotated[tuple[Finite, ...], Use(compared=_IN_MEAN, sparse=True)]
    nonfinite: Annotated[
        tuple[Count, ...], Use(compared="point", shown=No("the mean is of the others"), sparse=True)
    ]

    @property
    def positions(self) -> tuple[int, ...]:
        """The indices of the kept points in the full curve."""
        return positions(self.length)

    def curves(self) -> tuple[Curve, ...]:
        """Full-length curves with this mean and sd: one, or three where seeds differed.

        Above 100,000 points only the kept ones are given.
        """
        mean = self._spread([math.nan if m is None else m for m in self.mean])
        if not any(self.sd):
            return (mean,)
        sd = self._spread(list(self.sd))
        low = tuple(m - s for m, s in zip(mean, sd, strict=True))
        high = tuple(m + s for m, s in zip(mean, sd, strict=True))
        return (low, mean, high)

    def _spread(self, kept: list[float]) -> Curve:
        """Kept points put back on the full length, with straight lines between them."""
        if self.length > LONGEST:
            return tuple(kept)
        at = self.positions
        full = [kept[0]] * self.length if kept else []
        spans = zip(itertools.pairwise(at), itertools.pairwise(kept), strict=True)
        for (a, b), (x, y) in spans:
            full[a:b] = [x + (y - x) * i / (b - a) if i else x for i in range(b - a)]
            full[b] = y
        return tuple(full)


@dataclass(frozen=True)
class Stored:
    """One entry of a baseline. ``record`` has no curves of its own: they are in ``bands``."""

    record: Annotated[RunRecord, Use(compared="record", inline=True)]
    bands: Annotated[dict[str, Band], Use(compared="curve", key="curves")] = field(
        default_factory=dict
    )
    provenance: Annotated[dict[str, str], Use(compared=No("another device is a note"))] = field(
        default_factory=dict
    )

    def expected(self) -> RunRecord:
        """The entry as a RunRecord, for a reader that draws it beside the actual one."""
        curves = {name: band.curves() for name, band in self.bands.items()}
        return dataclasses.replace(self.record, curves=curves)


def freeze(record: RunRecord, provenance: Mapping[str, str] | None = None) -> Stored:
    """The stored form of ``record``: what a baseline keeps of it, rounded to 7 digits."""
    bands = {name: band(curves) for name, curves in record.curves.items()}
    return Stored(frozen(RunRecord, record), bands, dict(provenance or {}))


def positions(length: int) -> tuple[int, ...]:
    """Which points of a curve are kept: all, or 64 of them evenly from the first to the last."""
    if length <= MOST_POINTS:
        return tuple(range(length))
    step = (length - 1) / (MOST_POINTS - 1)
    return tuple(round(i * step) for i in range(MOST_POINTS))


def band(curves: tuple[Curve, ...]) -> Band:
    """One curve per seed, reduced to mean and deviation; a shorter curve lacks its last points."""
    length = max(map(len, curves), default=0)
    points = [
        [c[i] for c in curves if i < len(c) and math.isfinite(c[i])] for i in positions(length)
    ]
    return Band(
        seeds=len(curves),
        length=length,
        mean=tuple(_finite(statistics.fmean(values)) if values else None for values in points),
        sd=tuple(_finite(_deviation(values)) or 0.0 for values in points),
        nonfinite=tuple(len(curves) - len(values) for values in points),
    )


def _deviation(values: list[float]) -> float:
    # Equal values give 0 and not a rounding error, so that "no spread" can be told.
    if len(values) < 2 or min(values) == max(values):
        return 0.0
    mean = statistics.fmean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _finite(value: float) -> float | None:
    return rounded(value) if math.isfinite(value) else None
