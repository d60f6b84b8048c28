"""The stored form of a record: rounded, curves reduced to a band, without what is not compared."""

from __future__ import annotations

import dataclasses
import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

from pytest_initcheck.records import (
    Curve,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
    UnitStats,
)

DIGITS = 7
MOST_POINTS = 64
LONGEST = 100_000


@dataclass(frozen=True, kw_only=True)
class Band:
    """A curve over seeds: mean and sample standard deviation at no more than 64 of its points.

    ``length`` is the full number of points and ``positions`` says which are kept (first and last
    always); ``nonfinite`` counts, per kept point, the seeds whose value was NaN, inf or absent.
    ``mean`` is None where no seed had a finite value, ``sd`` is 0 where fewer than two had.
    """

    seeds: int
    length: int
    mean: tuple[float | None, ...]
    sd: tuple[float, ...]
    nonfinite: tuple[int, ...]

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

    record: RunRecord
    bands: dict[str, Band] = field(default_factory=dict)
    provenance: dict[str, str] = field(default_factory=dict)

    def expected(self) -> RunRecord:
        """The entry as a RunRecord, for a reader that draws it beside the actual one."""
        curves = {name: band.curves() for name, band in self.bands.items()}
        return dataclasses.replace(self.record, curves=curves)


def freeze(record: RunRecord, provenance: Mapping[str, str] | None = None) -> Stored:
    """The stored form of ``record``: what a baseline keeps of it, rounded to 7 digits."""
    return Stored(
        RunRecord(
            seeds=record.seeds,
            metrics={k: tuple(map(rounded, v)) for k, v in record.metrics.items()},
            before=_model(record.before),
            after=_model(record.after),
            meta=dict(record.meta),
        ),
        {name: band(curves) for name, curves in record.curves.items()},
        dict(provenance or {}),
    )


def rounded(value: float) -> float:
    """``value`` with 7 significant digits; minus zero becomes zero, NaN and inf stay."""
    if not math.isfinite(value):
        return value
    return float(f"{value:.{DIGITS}g}") + 0.0


def positions(length: int) -> tuple[int, ...]:
    """Which points of a curve are kept: all, or 64 of them evenly from the first to the last."""
    if length <= MOST_POINTS:
        return tuple(range(length))
    step = (length - 1) / (MOST_POINTS - 1)
    return tuple(round(i * step) for i in range(MOST_POINTS))


def band(curves: tuple[Curve, ...]) -> Band:
    """One curve per seed, reduced to mean and deviation; a shorter curve lacks its last points."""
    length = max(map(len, curves), default=0)
    mean: list[float | None] = []
    sd: list[float] = []
    nonfinite: list[int] = []
    for i in positions(length):
        values = [c[i] for c in curves if i < len(c) and math.isfinite(c[i])]
        mean.append(_finite(statistics.fmean(values)) if values else None)
        sd.append(_finite(_deviation(values)) or 0.0)
        nonfinite.append(len(curves) - len(values))
    return Band(
        seeds=len(curves), length=length, mean=tuple(mean), sd=tuple(sd), nonfinite=tuple(nonfinite)
    )


def _deviation(values: list[float]) -> float:
    # Equal values give 0 and not a rounding error, so that "no spread" can be told.
    if len(values) < 2 or min(values) == max(values):
        return 0.0
    mean = statistics.fmean(values)
    return math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (len(values) - 1))


def _finite(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else rounded(value)


def _model(model: ModelRecord | None) -> ModelRecord | None:
    if model is None:
        return None
    return dataclasses.replace(
        model,
        layers=tuple(map(_layer, model.layers)),
        loss=None if model.loss is None else rounded(model.loss),
        inputs=_tensor(model.inputs),
        outputs=_tensor(model.outputs),
        targets=_tensor(model.targets),
    )


def _layer(layer: LayerRecord) -> LayerRecord:
    return dataclasses.replace(
        layer,
        weights=_tensors(layer.weights),
        gradients=_tensors(layer.gradients),
        activations=_tensor(layer.activations),
        activation_gradients=_tensor(layer.activation_gradients),
        units=_units(layer.units),
        update_ratio={k: rounded(v) for k, v in layer.update_ratio.items()},
    )


def _units(units: UnitStats | None) -> UnitStats | None:
    # Which units are dead is chance; only how many can be compared.
    if units is None:
        return None
    return UnitStats(
        count=units.count,
        dead_share=rounded(units.dead_share),
        saturated_share=rounded(units.saturated_share),
    )


def _tensors(tensors: dict[str, TensorStats]) -> dict[str, TensorStats]:
    return {name: stats for name, t in tensors.items() if (stats := _tensor(t)) is not None}


def _tensor(stats: TensorStats | None) -> TensorStats | None:
    if stats is None:
        return None
    return dataclasses.replace(
        stats,
        mean=_finite(stats.mean),
        std=_finite(stats.std),
        min=_finite(stats.min),
        max=_finite(stats.max),
        zero_share=rounded(stats.zero_share),
        histogram=_histogram(stats.histogram),
    )


def _histogram(histogram: Histogram | None) -> Histogram | None:
    # A range that is not finite cannot be put in a file, and says nothing that the counts of
    # non-finite values do not say already.
    if histogram is None or not (math.isfinite(histogram.low) and math.isfinite(histogram.high)):
        return None
    return Histogram(rounded(histogram.low), rounded(histogram.high), histogram.counts)
