"""Draws how quantities grow with a size."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from pytest_initcheck.sizes.exponent import Samples

_COLUMNS = 4


def drawn(sizes: Sequence[int], fields: Mapping[str, Mapping[str, Samples]]) -> Figure:
    """A field per quantity, a line per layer: geometric mean over the seeds, and their range."""
    figure = Figure(figsize=(13, 6.4), layout="constrained")
    places = figure.subplots(-(-len(fields) // _COLUMNS), _COLUMNS, squeeze=False).flat
    for axes, (quantity, layers) in zip(places, fields.items(), strict=False):
        for layer, samples in layers.items():
            _draw(axes, sizes, samples, layer)
        axes.set(xscale="log", yscale="log", title=quantity, xlabel="size")
        axes.set_xticks(sizes, [str(size) for size in sizes], minor=False)
        axes.minorticks_off()
    for axes in list(places):
        axes.remove()
    handles, labels = _legend(figure)
    figure.legend(handles, labels, loc="outside right upper", fontsize="x-small")
    return figure


def _draw(axes: Any, sizes: Sequence[int], samples: Samples, layer: str) -> None:
    rows = [[v for v in row if math.isfinite(v) and v > 0] for row in samples]
    seen = [(size, row) for size, row in zip(sizes, rows, strict=True) if row]
    if not seen:
        return
    places = [size for size, _ in seen]
    means = [math.exp(sum(map(math.log, row)) / len(row)) for _, row in seen]
    (line,) = axes.plot(places, means, marker="o", markersize=3, label=layer)
    edges = [min(row) for _, row in seen], [max(row) for _, row in seen]
    axes.fill_between(places, *edges, color=line.get_color(), alpha=0.15)


def _legend(figure: Figure) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
