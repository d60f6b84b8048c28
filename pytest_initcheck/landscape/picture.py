"""Draws trajectories on their objective."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.landscape.grid import covered, values_at
from pytest_initcheck.landscape.problem import EscapeProblem

_POINTS = 400
_GRID = 80
_SHOWN = 8


@dataclass(frozen=True, kw_only=True)
class EscapeDrawing:
    """What is drawn: the trajectories of each seed, the objective along them and around them."""

    problem: EscapeProblem
    trajectories: Tensor
    values: Tensor
    seeds: Sequence[int]
    title: str


def draw(drawing: EscapeDrawing, span: tuple[float, float] | None = None) -> Figure:
    """The picture of `Escape.plot`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    dimensions = drawing.trajectories.shape[-1]
    _checked(span)
    {1: _on_curve, 2: _on_contours}.get(dimensions, _over_steps)(axes, drawing, span)
    axes.set_title(drawing.title, fontsize="small")
    return figure


def _checked(span: tuple[float, float] | None) -> None:
    try:
        fine = span is None or span[0] < span[1]
    except (TypeError, IndexError):
        fine = False
    if not fine:
        raise InitcheckError(f"span={span!r}: pass (low, high) with low < high")


def _on_curve(axes: Any, drawing: EscapeDrawing, span: tuple[float, float] | None) -> None:
    low, high = span or covered(drawing.trajectories)
    w = torch.linspace(low, high, _POINTS, dtype=drawing.trajectories.dtype)
    axes.plot(w, values_at(drawing.problem, w[:, None]), label="objective function")
    for row, label in _drawn(drawing):
        path, values = drawing.trajectories[row, :, 0], drawing.values[row]
        inside = (path >= low) & (path <= high)
        axes.plot(path[inside], values[inside], "o", markersize=3, alpha=0.6, label=label)
    axes.set(xlabel="w", ylabel="objective", xlim=(low, high))
    if len(_different(drawing)) > _SHOWN:
        ends = drawing.trajectories[:, -1, 0]
        label = f"ends of all {len(ends)} seeds"
        axes.plot(ends, drawing.values[:, -1], "|k", markersize=12, label=label)
    axes.legend(fontsize="x-small")


def _different(drawing: EscapeDrawing) -> list[int]:
    """The rows with trajectories of their own; without noise all seeds share one."""
    points = torch.cat([drawing.trajectories.flatten(1), drawing.values], 1).cpu()
    first = {row.numpy().tobytes(): i for i, row in reversed(list(enumerate(points)))}
    return sorted(first.values())


def _drawn(drawing: EscapeDrawing) -> list[tuple[int, str]]:
    """Which trajectories are drawn, and what each is called."""
    rows = _different(drawing)
    if len(rows) == 1:
        return [(0, "parameter values")]
    return [(row, f"seed {drawing.seeds[row]}") for row in rows[:_SHOWN]]


def _on_contours(axes: Any, drawing: EscapeDrawing, span: tuple[float, float] | None) -> None:
    ranges = [span or covered(drawing.trajectories[..., i]) for i in range(2)]
    x, y = (torch.linspace(*r, _GRID, dtype=drawing.trajectories.dtype) for r in ranges)
    points = torch.cartesian_prod(x, y)
    height = values_at(drawing.problem, points).reshape(_GRID, _GRID).T
    axes.contourf(x, y, height.numpy(), levels=30, cmap="viridis")
    for row, label in _drawn(drawing):
        path = drawing.trajectories[row]
        axes.plot(path[:, 0], path[:, 1], "o-", markersize=2, linewidth=0.7, label=label)
    axes.legend(fontsize="x-small")
    axes.set(xlabel="w0", ylabel="w1", xlim=ranges[0], ylim=ranges[1])


def _over_steps(axes: Any, drawing: EscapeDrawing, span: tuple[float, float] | None) -> None:
    for row, label in _drawn(drawing):
        axes.plot(drawing.values[row], linewidth=0.8, label=label)
    axes.set(xlabel="step", ylabel="objective")
    axes.legend(fontsize="x-small")
