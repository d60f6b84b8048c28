"""What kind of stationary point it is, also where the second derivative vanishes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from pytest_initcheck.landscape.surface import Surface

Shape = Literal["minimum", "maximum", "saddle", "flat"]
_STIFF = 100.0
_MIXES = 16


def shapes(surface: Surface, points: Tensor, near: Tensor) -> list[Shape]:
    """The kind of each stationary point, by the outward slope to both sides along each axis.

    The axes are the eigenvectors of the Hessian. Rising everywhere is a minimum, falling
    everywhere a maximum, both a saddle, neither is flat.

    Args:
        points: the stationary points (rows), float64.
        near: for each the length within which it is known; slopes are taken at .01 of it, and
            further out, ten times as far each time, only where they are nothing but rounding.
    """
    _, curvature, axes = surface.principal(points)
    signs, regular, radius = _along(surface, points, axes, curvature, near)
    rises, falls = (signs > 0).flatten(1).any(1), (signs < 0).flatten(1).any(1)
    for row in ((~regular).sum(1) > 1).nonzero().flatten().tolist():
        slopes = _between(surface, points[row], axes[row][:, ~regular[row]], radius[row])
        rises[row] |= (slopes > 0).any()
        falls[row] |= (slopes < 0).any()
    return [_named(up, down) for up, down in zip(rises.tolist(), falls.tolist(), strict=True)]


def _named(rises: bool, falls: bool) -> Shape:
    if rises and falls:
        return "saddle"
    return "minimum" if rises else "maximum" if falls else "flat"


def _along(
    surface: Surface, points: Tensor, axes: Tensor, curvature: Tensor, near: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """The signs of the outward slopes (rows × 2 × axes); which axes their curvature explains; and
    the largest radius of each row."""
    size = curvature.abs()
    largest = size.amax(1)
    floor = surface.roundoff(points, largest)[:, None]
    stiff = size[:, None] > _STIFF * size[..., None]
    stiff &= (size > 1e3 * surface.eps * largest[:, None])[:, None]
    release = torch.where(stiff, 1 / curvature[:, None], 0.0)
    signs = torch.zeros(len(points), 2, points.shape[1], dtype=torch.int64, device=points.device)
    regular = torch.zeros_like(signs, dtype=torch.bool)
    radius = 0.01 * near
    outermost = _outermost(points, near)
    todo = torch.ones_like(signs[:, 0], dtype=torch.bool)
    while bool(todo.any()):
        rows = todo.any(1)
        for side in range(2):
            ways = (1 - 2 * side) * axes[rows].mT
            asked = _Asked(surface, axes[rows], release[rows], todo[rows])
            slopes = (asked.outward(points[rows], radius[rows], ways) * ways).sum(-1)
            found = (slopes.abs() > floor[rows]) & todo[rows]
            agree = found & _agree(slopes, curvature[rows] * radius[rows][:, None])
            signs[rows, side] = torch.where(
                todo[rows], (slopes.sign() * found).long(), signs[rows, side]
            )
            regular[rows, side] = torch.where(todo[rows], agree, regular[rows, side])
        more = radius < outermost
        radius = torch.where(more, radius * 10, radius)
        todo = ~signs.any(1) & more[:, None]
    return signs, regular.all(1), outermost


def _outermost(points: Tensor, near: Tensor) -> Tensor:
    """The largest radius of each row, ten times as large as the one before and so on."""
    furthest = torch.maximum(near, 0.01 * points.norm(dim=-1).clamp(min=1.0))
    radius = 0.01 * near
    while bool((more := radius * 10 <= furthest).any()):
        radius = torch.where(more, radius * 10, radius)
    return radius


def _agree(slopes: Tensor, expected: Tensor) -> Tensor:
    return (slopes - expected).abs() < 0.5 * expected.abs()


@dataclass(frozen=True)
class _Asked:
    """Axes of some points, and along which of them slopes are asked for (``todo``).

    ``release`` is, for each axis, 1 / curvature of the axes that are stiff against it, and 0 for
    the others.
    """

    surface: Surface
    axes: Tensor
    release: Tensor
    todo: Tensor

    def outward(self, points: Tensor, radius: Tensor, ways: Tensor) -> Tensor:
        """The gradients at the ends of ``ways``, on the floor of the valley of stiff axes.

        A valley may bend; on its floor the slope along the stiff axes is 0.
        """
        w = points[:, None] + radius[:, None, None] * ways
        for _ in range(3 if bool(self.release[self.todo].any()) else 0):
            w = w - ((self._gradients(w) @ self.axes) * self.release) @ self.axes.mT
        return self._gradients(w)

    def _gradients(self, w: Tensor) -> Tensor:
        found = torch.zeros_like(w)
        found[self.todo] = self.surface.gradients(w[self.todo])
        return found


def _between(surface: Surface, point: Tensor, loose: Tensor, radius: Tensor) -> Tensor:
    """The slopes in fixed random directions among several axes without curvature."""
    source = torch.Generator().manual_seed(0)
    mixes = torch.randn(_MIXES, loose.shape[1], generator=source, dtype=torch.float64).to(loose)
    ways = torch.nn.functional.normalize(mixes @ loose.T, dim=-1)
    return (surface.gradients(point + radius * ways) * ways).sum(-1)
