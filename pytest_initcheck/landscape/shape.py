"""What kind of stationary point it is, also where the second derivative vanishes."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from pytest_initcheck.landscape.surface import Surface

Shape = Literal["minimum", "maximum", "saddle", "flat"]
_STIFF = 100.0
_MIXES = 16


def shape(surface: Surface, point: Tensor, near: float) -> Shape:
    """The kind of the stationary point, by the outward slope to both sides along each axis.

    The axes are the eigenvectors of the Hessian. Rising everywhere is a minimum, falling
    everywhere a maximum, both a saddle, neither is flat.

    Args:
        point: the stationary point, flat, float64.
        near: the length within which it is known; slopes are taken at .01 of it, and further
            out, ten times as far each time, only where they are nothing but rounding.
    """
    _, curvature, axes = surface.principal(point)
    radii = _radii(point, near)
    signs, regular = _along(surface, point, axes, curvature, radii)
    loose = axes[:, ~regular]
    if loose.shape[1] > 1:
        signs = torch.cat([signs, _between(surface, point, loose, radii[-1])])
    rises, falls = bool((signs > 0).any()), bool((signs < 0).any())
    if rises and falls:
        return "saddle"
    return "minimum" if rises else "maximum" if falls else "flat"


def _radii(point: Tensor, near: float) -> list[float]:
    furthest = max(near, 0.01 * max(1.0, float(point.norm())))
    radii = [0.01 * near]
    while radii[-1] * 10 <= furthest:
        radii.append(radii[-1] * 10)
    return radii


def _along(
    surface: Surface, point: Tensor, axes: Tensor, curvature: Tensor, radii: list[float]
) -> tuple[Tensor, Tensor]:
    """The signs of the outward slopes, 2 per axis; and which axes their curvature explains."""
    size = curvature.abs()
    floor = surface.roundoff(point, float(size.max()))
    stiff = (size > _STIFF * size[:, None]) & (size > 1e3 * surface.eps * size.max())
    release = torch.where(stiff, 1 / curvature, 0.0)
    signs = torch.zeros(2, len(point), dtype=torch.int64)
    regular = torch.zeros(2, len(point), dtype=torch.bool)
    for radius in radii:
        todo = ~signs.any(0)
        for side in range(2 if bool(todo.any()) else 0):
            ways = (1 - 2 * side) * axes.T[todo]
            gradients = _outward(surface, point, radius * ways, axes, release[todo])
            slopes = (gradients * ways).sum(-1)
            expected = curvature[todo] * radius
            found = slopes.abs() > floor
            signs[side, todo] = (slopes.sign() * found).long().cpu()
            regular[side, todo] = (found & _agree(slopes, expected)).cpu()
    return signs.flatten(), regular.all(0)


def _agree(slopes: Tensor, expected: Tensor) -> Tensor:
    return (slopes - expected).abs() < 0.5 * expected.abs()


def _outward(
    surface: Surface, point: Tensor, ways: Tensor, axes: Tensor, release: Tensor
) -> Tensor:
    """The gradients at the ends of ``ways`` (rows), on the floor of the valley of stiff axes.

    A valley may bend; on its floor the slope along the stiff axes is 0. ``release`` is, for each
    way, 1 / curvature of the axes that are stiff against it, and 0 for the others.
    """
    w = point + ways
    for _ in range(3 if bool(release.any()) else 0):
        w = w - ((surface.gradients(w) @ axes) * release) @ axes.T
    return surface.gradients(w)


def _between(surface: Surface, point: Tensor, loose: Tensor, radius: float) -> Tensor:
    """The signs of the slope in fixed random directions among several axes without curvature."""
    source = torch.Generator().manual_seed(0)
    mixes = torch.randn(_MIXES, loose.shape[1], generator=source, dtype=torch.float64).to(loose)
    ways = torch.nn.functional.normalize(mixes @ loose.T, dim=-1)
    slopes = (surface.gradients(point + radius * ways) * ways).sum(-1)
    return slopes.sign().long().cpu()
