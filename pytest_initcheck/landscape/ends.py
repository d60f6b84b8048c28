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
4. `shape`: the outward slope on both sides along each eigenvector of the Hessian decides. Rising
   everywhere is a **minimum**, falling everywhere a **maximum**, both a **saddle**, neither is
   **flat**. For a regular point that is the sign of the eigenvalue; a vanishing eigenvalue (the
   inflection of w³, the monkey saddle) is decided by the higher orders that the slopes see.

With noise on the gradient a seed jitters about its end. Then the centre of its last third takes
the place of its last point, and 1.5 standard deviations of that third may widen the 2 %. Only a
minimum can be found in so wide a cloud: nothing jitters about a saddle for long.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_initcheck.landscape.shape import Shape, shape
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


def classify(surface: Surface, path: Tensor, rest: Tensor, noise: float = 0.0) -> Ending:
    """The end of one trajectory.

    Args:
        path: the points, (steps + 1) × elements.
        rest: further points without noise, any number × elements.
        noise: standard deviation of the noise on each component of the gradient.
    """
    path, rest = path.double(), rest.double()
    end = path[-1]
    unknown = torch.full_like(end, torch.nan)
    if not bool(torch.isfinite(path).all()):
        return Ending("diverged", torch.nan, unknown)
    gradient, hessian = surface.model(end)
    norm = float(gradient.norm())
    if not bool(torch.isfinite(hessian).all()):
        return Ending("diverged", norm, unknown)
    lost = not math.isfinite(norm) or not math.isfinite(surface.value(end))
    diverged = lost or _diverges(surface, path, noise)
    kind = "diverged" if diverged else _end(surface, path, rest, noise)
    return Ending(kind, norm, torch.linalg.eigvalsh(hessian))


def _diverges(surface: Surface, path: Tensor, noise: float) -> bool:
    start, end = path[0], path[-1]
    moves = (path[1:] - path[:-1]).norm(dim=-1)
    third = len(moves) // 3
    growing = third == 0 or bool(moves[-third:].mean() > moves[-2 * third : -third].mean())
    if not growing or not len(moves):
        return False
    first = max(float(surface.gradient(start).norm()), noise * len(start) ** 0.5)
    last = float(surface.gradient(end).norm())
    uphill = surface.value(end) > surface.value(start) and last > _UPHILL * first
    far = float((end - start).norm()) > _RUNAWAY * max(1.0, float(start.norm()))
    return uphill or (far and last > _RUNAWAY * first)


def _end(surface: Surface, path: Tensor, rest: Tensor, noise: float) -> End:
    end = path[-1]
    extent = float((path - end).norm(dim=-1).max())
    # A start that is a stationary point but for rounding has an extent of almost nothing.
    near = max(NEAR * extent, 1e-6 * max(1.0, float(end.norm())))
    centre, slack = (end, near) if not noise else _cloud(path, near)
    critical = stationary(surface, centre, slack)
    if critical is None:
        return "still moving"
    away = (rest - critical).norm(dim=-1)
    leash = 2 * slack + float((end - critical).norm())
    if not bool((away <= leash).all()):
        return "still moving"
    kind = shape(surface, critical, near)
    return kind if kind == "minimum" or slack == near else "still moving"


def _cloud(path: Tensor, near: float) -> tuple[Tensor, float]:
    """Centre and reach of the last third of a path.

    The mean of a straight run is √3 of its own standard deviations from either of its ends, so
    that 1.5 of them do not take a seed on its way for one that jitters about its goal.
    """
    last = path[-max(10, len(path) // 3) :]
    centre = last.mean(0)
    jitter = float((last - centre).norm(dim=-1).square().mean().sqrt())
    return centre, max(near, _JITTER * jitter)


def stationary(surface: Surface, point: Tensor, limit: float) -> Tensor | None:
    """The stationary point that Newton's method reaches within ``limit`` of ``point``, or None.

    Directions whose curvature is only rounding are left alone; a slope along one of them, or a
    Newton step that leads further than ``limit``, means that there is none.
    """
    w = point
    for _ in range(_NEWTON_STEPS):
        gradient, curvature, axes = surface.principal(w)
        slope = axes.T @ gradient
        largest = float(curvature.abs().max())
        floor = 1e3 * surface.eps * largest
        damped = curvature.square() + floor**2
        step = axes @ torch.where(damped > 0, curvature * slope / damped, 0.0)
        w = w - step
        if not float((w - point).norm()) <= limit:
            return None
        if float(step.norm()) <= 1e-4 * limit:
            loose = curvature.abs() <= floor
            tilt = float(slope[loose].norm()) if bool(loose.any()) else 0.0
            return w if tilt <= surface.roundoff(w, largest) else None
    return None
