"""The lowest value of a function of tensors, by steps that only ask for the gradient's sign."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Riedmiller, Braun: A direct adaptive method for faster backpropagation learning: the RPROP
# algorithm (1993). Signs alone serve: a squashing whose gradient is nearly lost still shows the
# way to its end, and a squared error of large targets needs no small rate.
# Until a value has turned round once its strides double, so that far targets are reached.
_SEARCH, _GROWTH, _SHRINKAGE = 2.0, 1.2, 0.5
_LONGEST = 1e9
ROUNDS = 80
# No improvement by this part of what is left above zero, in so many rounds, is the end; or of the
# last hundred-thousandth of all that was gained. Of a far start what is left is but a small part.
_GAIN, _REST = 1e-4, 1e-5
_PATIENCE = 12
_TURNS = 30
# A loss that falls below its start by this many times all sizes involved has no floor.
_BOTTOMLESS = 1e4
# Below zero at values of this size it falls as slowly as a logarithm, but without end.
_FAR = 1e6


@dataclass(frozen=True)
class Lowest:
    """The lowest value found and where; ``is_bottomless`` where it fell without end."""

    value: float
    at: tuple[Tensor, ...]
    is_bottomless: bool = False


def lowest(
    function: Callable[[Sequence[Tensor]], Tensor],
    start: Sequence[Tensor],
    rounds: int = ROUNDS,
) -> Lowest:
    """Minimise a scalar function of tensors from a start, all of them at once.

    Where the function raises, or is not finite, its domain ends: what was found before counts, and
    the value is infinite where nothing was.
    """
    points = [tensor.detach().clone().requires_grad_() for tensor in start]
    walks = [_Walk(p) for p in points]
    first = best = last = math.inf
    at, waited, turns = [p.detach().clone() for p in points], 0, 0
    for _ in range(rounds):
        try:
            with torch.enable_grad():
                value = function(points)
                gradients = torch.autograd.grad(value, points, allow_unused=True)
            number = float(value.detach())
        except Exception:
            # Losses refuse values outside of their domain in many ways.
            number, gradients = math.nan, ()
        if not math.isfinite(number):
            turns += 1
            if best == math.inf or turns > _TURNS:
                break
            for walk, point in zip(walks, at, strict=True):
                walk.turn_back(point)
            continue
        first = number if first == math.inf else first
        waited = 0 if number < best - _worth(first, best) else waited + 1
        if number == last and not any(map(_leads_on, gradients)):
            # Whoever has no slope under him stays where he is.
            break
        last = number
        if number < best:
            best, at = number, [p.detach().clone() for p in points]
        if waited > _PATIENCE or _is_bottomless(first, best):
            break
        for walk, gradient in zip(walks, gradients, strict=True):
            walk.move(gradient)
    is_far = best < 0 and any(float(p.abs().amax()) > _FAR for p in at if p.numel())
    return Lowest(best, tuple(at), is_far or _is_bottomless(first, best))


def _leads_on(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.count_nonzero())


def _worth(first: float, best: float) -> float:
    """By how much the lowest value so far has to fall for the search to go on."""
    gained = max(first - best, 1e-12)
    return _GAIN * max(min(gained, abs(best)), _REST * gained)


def _is_bottomless(first: float, best: float) -> bool:
    return best < 0 and first - best > _BOTTOMLESS * (1 + abs(first))


class _Walk:
    """The strides of one tensor."""

    def __init__(self, point: Tensor) -> None:
        self.point = point
        self.stride = torch.full_like(point, _first_stride(point))
        self.last = torch.zeros_like(point)
        self.growth = torch.full_like(point, _SEARCH)
        self.longest = min(_LONGEST, torch.finfo(point.dtype).max / 64)

    @torch.no_grad()
    def turn_back(self, point: Tensor) -> None:
        """Return to a point, and go on with half the strides: the domain ends there."""
        self.point.copy_(point)
        self.stride.mul_(_SHRINKAGE)
        self.growth.fill_(_GROWTH)
        self.point.sub_(self.last * self.stride)

    @torch.no_grad()
    def move(self, gradient: Tensor | None) -> None:
        """Go one stride down, each value its own."""
        if gradient is None:
            return
        sign = gradient.nan_to_num(0.0).sign()
        agreed = sign * self.last
        has_turned = agreed < 0
        self.growth.masked_fill_(has_turned, _GROWTH)
        factor = torch.where(agreed > 0, self.growth, 1.0).masked_fill_(has_turned, _SHRINKAGE)
        self.stride.mul_(factor).clamp_(max=self.longest)
        # The round after a change of sign neither grows nor shrinks.
        self.last = sign.masked_fill(has_turned, 0.0)
        self.point.sub_(sign * self.stride)


def _first_stride(tensor: Tensor) -> float:
    size = float(tensor.detach().float().square().mean().sqrt()) if tensor.numel() else 0.0
    return 0.1 * max(size, 1.0) if math.isfinite(size) else 0.1
