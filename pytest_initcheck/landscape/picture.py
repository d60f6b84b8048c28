"""Draws trajectories on their objective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from pytest_initcheck.errors import InitcheckError

if TYPE_CHECKING:
    from pytest_initcheck.landscape.result import Escape

_POINTS = 400
_GRID = 80


def draw(escape: Escape, span: tuple[float, float] | None = None) -> Figure:
    """The picture of `Escape.plot`."""
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    dimensions = escape.trajectories.shape[-1]
    _checked(span)
    {1: _on_curve, 2: _on_contours}.get(dimensions, _over_steps)(axes, escape, span)
    axes.set_title(f"{escape.optimizer}: {escape.summary()}", fontsize="small")
    return figure


def _checked(span: tuple[float, float] | None) -> None:
    try:
        fine = span is None or span[0] < span[1]
    except (TypeError, IndexError):
        fine = False
    if not fine:
        raise InitcheckError(f"span={span!r}: pass (low, high) with low < high")


def _on_curve(axes: Any, escape: Escape, span: tuple[float, float] | None) -> None:
    low, high = span or _range(escape.trajectories)
    w = torch.linspace(low, high, _POINTS, dtype=escape.trajectories.dtype)
    axes.plot(w, _values(escape, w[:, None]), label="objective function")
    for seed, path, values in zip(
        escape.seeds, escape.trajectories[..., 0], escape.values, strict=True
    ):
        inside = (path >= low) & (path <= high)
        label = f"seed {seed}" if len(escape.seeds) > 1 else "parameter values"
        axes.plot(path[inside], values[inside], "o", markersize=3, alpha=0.6, label=label)
    axes.set(xlabel="w", ylabel="objective", xlim=(low, high))
    axes.legend(fontsize="x-small")


def _on_contours(axes: Any, escape: Escape, span: tuple[float, float] | None) -> None:
    ranges = [span or _range(escape.trajectories[..., i]) for i in range(2)]
    x, y = (torch.linspace(*r, _GRID, dtype=escape.trajectories.dtype) for r in ranges)
    points = torch.cartesian_prod(x, y)
    height = _values(escape, points).reshape(_GRID, _GRID).T
    axes.contourf(x, y, height.numpy(), levels=30, cmap="viridis")
    for path in escape.trajectories:
        axes.plot(path[:, 0], path[:, 1], "o-", markersize=2, linewidth=0.7)
    axes.set(xlabel="w0", ylabel="w1", xlim=ranges[0], ylim=ranges[1])


def _over_steps(axes: Any, escape: Escape, span: tuple[float, float] | None) -> None:
    for seed, values in zip(escape.seeds, escape.values, strict=True):
        axes.plot(values, linewidth=0.8, label=f"seed {seed}")
    axes.set(xlabel="step", ylabel="objective")
    axes.legend(fontsize="x-small")


def _range(values: Tensor) -> tuple[float, float]:
    finite = values[torch.isfinite(values)].double()
    # A runaway would shrink everything else to a line.
    low, high = torch.quantile(finite, torch.tensor([0.0, 1.0]).double()).tolist()
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def _values(escape: Escape, points: Tensor) -> Tensor:
    problem = escape.problem
    shape = problem.start.shape
    with torch.no_grad():
        found = [problem.value(p.reshape(shape).to(problem.start)) for p in points]
    return torch.stack(found).detach().cpu()
