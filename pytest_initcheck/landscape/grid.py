"""An objective on a grid around the trajectories of an optimiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pytest_initcheck.landscape.problem import EscapeProblem
from pytest_initcheck.records import Landscape

_FAR = 20.0
# Points in each direction, by the number of parameters: as many as a small picture can show.
_SIZES = {1: 161, 2: 41}


def covered(values: Tensor) -> tuple[float, float]:
    """What the trajectories of one element cover; a runaway only as far as a picture can show."""
    start = float(values[0, 0])
    near = (values - start).abs() <= _FAR * max(1.0, abs(start))
    low, high = float(values[near].min()), float(values[near].max())
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin


def values_at(problem: EscapeProblem, points: Tensor) -> Tensor:
    """The objective at points of shape (count, elements), without noise."""
    shape = problem.start.shape
    with torch.no_grad():
        found = [problem.value(p.reshape(shape).to(problem.start)) for p in points]
    return torch.stack(found).detach().cpu()


def landscape(problem: EscapeProblem, trajectories: Tensor) -> Landscape | None:
    """The objective where the trajectories went; None for more than two elements."""
    size = _SIZES.get(trajectories.shape[-1])
    if size is None or not math.isfinite(float(trajectories[0, 0].sum())):
        return None
    ranges = [covered(trajectories[..., i]) for i in range(trajectories.shape[-1])]
    axes = [torch.linspace(*ends, size, dtype=trajectories.dtype) for ends in ranges]
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    return Landscape(
        low=tuple(low for low, _ in ranges),
        high=tuple(high for _, high in ranges),
        size=size,
        values=tuple(values_at(problem, points).double().tolist()),
    )
