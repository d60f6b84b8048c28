"""Where a trajectory ends: in a minimum, at a saddle, still moving, or nowhere.

All lengths are measured against the *extent* of the trajectory, the largest distance of any of its
points from its last one; all slopes against rounding. The steps of the decision:

1. **diverged**: a w, value or slope that is not finite; or steps that grow while either the
   objective is higher than at the start and its gradient over 3 times as steep (uphill), or the end
   is more than 1,000 times as far away as the start is from 0 (from 1 on) and 1,000 times as steep
   (it runs away for ever).
2. A stationary point within 2 % of the extent of the end, found by Newton's method on the gradient,
   which goes to saddles and maxima as well. None: **still moving**. A slow crawl far from rest has
   a small gradient but a long Newton step, so that it is not taken for an end.
3. It must also stay there: 10 % more steps without noise may not leave that neighbourhood, or the
   seed was only passing through: **still moving**.
4. `shapes`: the outward slope on both sides along each eigenvector of the Hessian decides. Rising
   everywhere is a **minimum**, falling everywhere a **maximum**, both a **saddle**, neither is
   **flat**. For a regular point that is the sign of the eigenvalue; a vanishing eigenvalue (the
   inflection of w³, the monkey saddle) is decided by the higher orders that the slopes see.

With noise on the gradient a seed jitters about its end. Then the centre of its last third takes
the place of its last point, and 1.5 standard deviations of that third may widen the 2 %. Only a
minimum can be found in so wide a cloud: nothing jitters about a saddle for long.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_initcheck.landscape.shape import Shape, shapes
from pytest_initcheck.landscape.surface import Surface

End = Shape | Literal["still moving", "diverged"]
NEAR = 0.02
_NEWTON_STEPS = 80
_UPHILL = 3.0
_RUNAWAY = 1e3
_JITTER = 1.5


@dataclass(frozen=True)
class Ending:
    """How one trajectory ends; gradient norm and eigenvalues (ascending) are at its last point."""

    kind: End
    gradient_norm: float
    eigenvalues: Tensor


def classified(surface: Surface, paths: Tensor, rest: Tensor, noise: float = 0.0) -> list[Ending]:
    """The end of every trajectory, all asked at once.

    Args:
        paths: the points, trajectories × (steps + 1) × elements.
        rest: further points without noise, trajectories × any number × elements.
        noise: standard deviation of the noise on each component of the gradient.
    """
    paths, rest = paths.double(), rest.double()
    ends = paths[:, -1]
    norms, eigenvalues = torch.full_like(ends[:, 0], torch.nan), torch.full_like(ends, torch.nan)
    kinds: list[End] = ["diverged"] * len(paths)
    rows = torch.isfinite(paths).flatten(1).all(1).nonzero().flatten()
    if len(rows):
        gradients, hessians = surface.models(ends[rows])
        norms[rows] = gradients.norm(dim=-1)
        known = torch.isfinite(hessians).flatten(1).all(1)
        rows = rows[known]
        eigenvalues[rows] = torch.linalg.eigvalsh(hessians[known])
    if len(rows):
        sound = norms[rows].isfinite() & surface.values(ends[rows]).isfinite()
        rows = rows[sound]
    if len(rows):
        rows = rows[~_diverge(surface, paths[rows], noise)]
    found = _ends(surface, paths[rows], rest[rows], noise) if len(rows) else []
    for row, kind in zip(rows.tolist(), found, strict=True):
        kinds[row] = kind
    return [Ending(*each) for each in zip(kinds, norms.tolist(), eigenvalues, strict=True)]


def _diverge(surface: Surface, paths: Tensor, noise: float) -> Tensor:
    """Which trajectories run away: their steps grow, uphill or for ever."""
    starts, ends = paths[:, 0], paths[:, -1]
    moves = paths.diff(dim=1).norm(dim=-1)
    third = moves.shape[1] // 3
    away = torch.full_like(starts[:, 0], moves.shape[1] > 0, dtype=torch.bool)
    if third:
        away &= moves[:, -third:].mean(1) > moves[:, -2 * third : -third].mean(1)
    if not bool(away.any()):
        return away
    starts, ends = starts[away], ends[away]
    least = noise * starts.shape[1] ** 0.5
    first = surface.gradients(starts).norm(dim=-1).clamp(min=least)
    last = surface.gradients(ends).norm(dim=-1)
    uphill = (surface.values(ends) > surface.values(starts)) & (last > _UPHILL * first)
    far = (ends - starts).norm(dim=-1) > _RUNAWAY * starts.norm(dim=-1).clamp(min=1.0)
    away[away.clone()] = uphill | (far & (last > _RUNAWAY * first))
    return away


def _ends(surface: Surface, paths: Tensor, rest: Tensor, noise: float) -> list[End]:
    ends = paths[:, -1]
    extent = (paths - ends[:, None]).norm(dim=-1).amax(1)
    # A start that is a stationary point but for rounding has an extent of almost nothing.
    near = torch.maximum(NEAR * extent, 1e-6 * ends.norm(dim=-1).clamp(min=1.0))
    centres, slack = (ends, near) if not noise else _clouds(paths, near)
    critical, rests = stationary(surface, centres, slack)
    away = (rest - critical[:, None]).norm(dim=-1)
    leash = 2 * slack + (ends - critical).norm(dim=-1)
    rests &= (away <= leash[:, None]).all(1)
    kinds: list[End] = ["still moving"] * len(paths)
    rows = rests.nonzero().flatten()
    found = shapes(surface, critical[rows], near[rows]) if len(rows) else []
    for row, kind in zip(rows.tolist(), found, strict=True):
        if kind == "minimum" or bool(slack[row] == near[row]):
            kinds[row] = kind
    return kinds


def _clouds(paths: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
    """Centre and reach of the last third of every path.

    The mean of a straight run is √3 of its own standard deviations from either of its ends, so
    that 1.5 of them do not take a seed on its way for one that jitters about its goal.
    """
    last = paths[:, -max(10, paths.shape[1] // 3) :]
    centres = last.mean(1)
    jitter = (last - centres[:, None]).norm(dim=-1).square().mean(1).sqrt()
    return centres, torch.maximum(near, _JITTER * jitter)


def stationary(surface: Surface, points: Tensor, limit: Tensor) -> tuple[Tensor, Tensor]:
    """The stationary points that Newton's method reaches within ``limit`` of ``points``, and
    whether there is one.

    Directions whose curvature is only rounding are left alone; a slope along one of them, or a
    Newton step that leads further than ``limit``, means that there is none.
    """
    w, found = points.clone(), torch.zeros_like(limit, dtype=torch.bool)
    rows = torch.arange(len(points), device=points.device)
    for _ in range(_NEWTON_STEPS):
        gradients, curvature, axes = surface.principal(w[rows])
        slopes = (axes.mT @ gradients[..., None])[..., 0]
        largest = curvature.abs().amax(1)
        floor = (1e3 * surface.eps * largest)[:, None]
        damped = curvature.square() + floor.square()
        along = torch.where(damped > 0, curvature * slopes / damped, 0.0)
        step = (axes @ along[..., None])[..., 0]
        w[rows] -= step
        near = (w[rows] - points[rows]).norm(dim=-1) <= limit[rows]
        done = near & (step.norm(dim=-1) <= 1e-4 * limit[rows])
        tilt = torch.where(curvature.abs() <= floor, slopes, 0.0).norm(dim=-1)
        found[rows] = done & (tilt <= surface.roundoff(w[rows], largest))
        rows = rows[near & ~done]
        if not len(rows):
            break
    return w, found
