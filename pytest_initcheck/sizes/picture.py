"""Draws how quantities grow with a size."""

from __future__ import annotations

import math
from typing import Any

from matplotlib.figure import Figure

from pytest_initcheck.sizes.result import QUANTITIES, Scaling

_COLUMNS = 4
_MOST = 20  # Lines that can still be told apart with a legend beside them.


def drawn(found: Scaling) -> Figure:
    """One field per quantity, a line per layer: geometric mean over the seeds, and their range."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    fields = figure.subplots(-(-len(QUANTITIES) // _COLUMNS), _COLUMNS).flat
    for axes, quantity in zip(fields, QUANTITIES, strict=False):
        for layer in [*found.layers[:_MOST], "(input)", "(output)"]:
            if found.steps_of(layer, quantity):
                _draw(axes, found, layer, quantity)
        axes.set(xscale="log", yscale="log", title=quantity, xlabel="size")
        axes.set_xticks(found.sizes, [str(size) for size in found.sizes], minor=False)
        axes.minorticks_off()
    for axes in list(fields):
        axes.remove()
    handles, labels = _legend(figure)
    figure.legend(handles, labels, loc="outside right upper", fontsize="x-small")
    return figure


def _draw(axes: Any, found: Scaling, layer: str, quantity: str) -> None:
    rows = [
        [v for v in row if math.isfinite(v) and v > 0] for row in found.samples(layer, quantity)
    ]
    seen = [(size, row) for size, row in zip(found.sizes, rows, strict=True) if row]
    if not seen:
        return
    sizes = [size for size, _ in seen]
    means = [math.exp(sum(map(math.log, row)) / len(row)) for _, row in seen]
    (line,) = axes.plot(sizes, means, marker="o", markersize=3, label=layer)
    axes.fill_between(
        sizes,
        [min(row) for _, row in seen],
        [max(row) for _, row in seen],
        color=line.get_color(),
        alpha=0.15,
    )


def _legend(figure: Figure) -> tuple[list[Any], list[str]]:
    found: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return list(found.values()), list(found)
