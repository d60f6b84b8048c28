"""Pool the models of several seeds into one record."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from bisect import bisect_right
from collections.abc import Sequence

from pytest_initcheck.records import Histogram, LayerRecord, ModelRecord, TensorStats, UnitStats


def pooled_models(records: Sequence[ModelRecord]) -> ModelRecord:
    """One record for all: values pooled, losses averaged, layers by name in the first's order."""
    first = records[0]
    names = dict.fromkeys(layer.name for record in records for layer in record.layers)
    layers = [[x for r in records for x in r.layers if x.name == name] for name in names]
    return dataclasses.replace(
        first,
        layers=tuple(_pooled_layers(group) for group in layers),
        loss=_mean([record.loss for record in records]),
        outputs=pooled_stats([record.outputs for record in records]),
    )


def _pooled_layers(layers: Sequence[LayerRecord]) -> LayerRecord:
    return dataclasses.replace(
        layers[0],
        weights=_by_name([layer.weights for layer in layers]),
        gradients=_by_name([layer.gradients for layer in layers]),
        activations=pooled_stats([layer.activations for layer in layers]),
        activation_gradients=pooled_stats([layer.activation_gradients for layer in layers]),
        units=_pooled_units([layer.units for layer in layers]),
        update_ratio=_mean_by_name([layer.update_ratio for layer in layers]),
    )


def _by_name(groups: Sequence[dict[str, TensorStats]]) -> dict[str, TensorStats]:
    pooled = {}
    for name in dict.fromkeys(name for group in groups for name in group):
        stats = pooled_stats([group.get(name) for group in groups])
        if stats is not None:
            pooled[name] = stats
    return pooled


def _mean_by_name(groups: Sequence[dict[str, float]]) -> dict[str, float]:
    means = {}
    for name in dict.fromkeys(name for group in groups for name in group):
        mean = _mean([group.get(name) for group in groups])
        if mean is not None:
            means[name] = mean
    return means


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def pooled_stats(stats: Sequence[TensorStats | None]) -> TensorStats | None:
    """The summary of all tensors' values together."""
    known = [one for one in stats if one is not None]
    if not known:
        return None
    bare = (dataclasses.replace(one, histogram=None) for one in known)
    pooled = functools.reduce(TensorStats.merged, bare)
    return dataclasses.replace(pooled, histogram=pooled_histogram([x.histogram for x in known]))


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
    below = [round(sum(_below(one, edge) for one in known)) for edge in edges]
    below[0] = 0
    below.append(sum(sum(one.counts) for one in known))
    return Histogram(low, high, tuple(b - a for a, b in itertools.pairwise(below)))


def _below(histogram: Histogram, edge: float) -> float:
    """How many of the histogram's values lie below ``edge``."""
    if edge <= histogram.low:
        return 0.0
    if edge >= histogram.high:
        return float(sum(histogram.counts))
    edges = histogram.edges
    place = min(bisect_right(edges, edge) - 1, len(histogram.counts) - 1)
    part = (edge - edges[place]) / (edges[place + 1] - edges[place])
    return sum(histogram.counts[:place]) + min(part, 1.0) * histogram.counts[place]


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
