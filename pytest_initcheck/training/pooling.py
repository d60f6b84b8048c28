"""Pool the models of several seeds into one record."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, TypeVar

from pytest_initcheck.capture.fingerprint import combined
from pytest_initcheck.records import Histogram, LayerRecord, ModelRecord, TensorStats, UnitStats

R = TypeVar("R", LayerRecord, ModelRecord)


def pooled_models(records: Sequence[ModelRecord]) -> ModelRecord:
    """One record for all: values pooled, losses averaged, layers by name in the first's order."""
    names = dict.fromkeys(layer.name for record in records for layer in record.layers)
    layers = [[x for r in records for x in r.layers if x.name == name] for name in names]
    first = _pooled_fields(records)
    keys = dict.fromkeys(key for record in records for key in record.digests)
    return dataclasses.replace(
        first,
        layers=tuple(_pooled_fields(group) for group in layers),
        inputs=records[0].inputs,
        targets=records[0].targets,
        digests={key: _pooled_digest([r.digests.get(key, "") for r in records]) for key in keys},
    )


def _pooled_fields(records: Sequence[R]) -> R:
    names = (f.name for f in dataclasses.fields(records[0]))
    pooled = {name: _pooled([getattr(record, name) for record in records]) for name in names}
    return dataclasses.replace(records[0], **pooled)


def _pooled(values: Sequence[Any]) -> Any:
    """One value for those of all seeds: the first, where they are no numbers."""
    known = [value for value in values if value is not None]
    first = known[0] if known else None
    if isinstance(first, TensorStats):
        return pooled_stats(known)
    if isinstance(first, UnitStats):
        return _pooled_units(known)
    if isinstance(first, dict):
        names = dict.fromkeys(name for group in known for name in group)
        return {name: _pooled([group.get(name) for group in known]) for name in names}
    return sum(known) / len(known) if isinstance(first, float) else values[0]


def pooled_stats(stats: Sequence[TensorStats | None]) -> TensorStats | None:
    """The summary of all tensors' values together."""
    known = [one for one in stats if one is not None]
    if not known:
        return None
    bare = (dataclasses.replace(one, histogram=None) for one in known)
    pooled = functools.reduce(TensorStats.merged, bare)
    return dataclasses.replace(
        pooled,
        histogram=pooled_histogram([x.histogram for x in known]),
        digest=_pooled_digest([x.digest for x in known]),
    )


def _pooled_digest(digests: Sequence[str]) -> str:
    """One for all seeds; none where one of them has none."""
    if len(digests) == 1:
        return digests[0]
    return combined(digests) if all(digests) else ""


def pooled_histogram(histograms: Sequence[Histogram | None]) -> Histogram | None:
    """All histograms on one range, each spread evenly within its bins; no count is lost.

    Merging pair by pair would bin again and again, and the errors would add up over the seeds.
    """
    known = [one for one in histograms if one is not None and one.counts]
    if not known:
        return None
    low, high = min(one.low for one in known), max(one.high for one in known)
    bins = max(len(one.counts) for one in known)
    edges = [low + (high - low) * i / bins for i in range(bins)]
    counted = [_below(one, edges) for one in known]
    below = [round(sum(each)) for each in zip(*counted, strict=True)]
    below[0] = 0
    below.append(sum(sum(one.counts) for one in known))
    return Histogram(low, high, tuple(b - a for a, b in itertools.pairwise(below)))


def _below(histogram: Histogram, places: Sequence[float]) -> list[float]:
    """How many of the histogram's values lie below each of the places."""
    edges = histogram.edges
    before = [0, *itertools.accumulate(histogram.counts)]

    def below(place: float) -> float:
        if place <= histogram.low:
            return 0.0
        if place >= histogram.high:
            return float(before[-1])
        bin_ = min(bisect_right(edges, place) - 1, len(histogram.counts) - 1)
        part = (place - edges[bin_]) / (edges[bin_ + 1] - edges[bin_])
        return before[bin_] + min(part, 1.0) * histogram.counts[bin_]

    return [below(place) for place in places]


def _pooled_units(units: Sequence[UnitStats | None]) -> UnitStats | None:
    """Mean shares; a unit is listed where it is dead or saturated in every model."""
    known = [one for one in units if one is not None]
    if not known:
        return None
    return UnitStats(
        count=known[0].count,
        dead_share=sum(one.dead_share for one in known) / len(known),
        saturated_share=sum(one.saturated_share for one in known) / len(known),
        dead=tuple(sorted(set.intersection(*(set(one.dead) for one in known)))),
        saturated=tuple(sorted(set.intersection(*(set(one.saturated) for one in known)))),
    )
