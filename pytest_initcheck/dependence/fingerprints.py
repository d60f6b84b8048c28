"""A tensor as a few numbers per axis, from which it shows later along which indices it moved."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.evidence import Array

# What a sum of many values loses to rounding, relative to the largest such sum.
_TOLERANCE = 1e-5
# In place of NaN, where all keys are masked and the like.
_NOTHING = -100.0


@dataclass(frozen=True)
class Mark:
    """For each axis, one number per index: a sum over the others with weights like dice."""

    shape: tuple[int, ...]
    sums: tuple[Array, ...]


@dataclass(frozen=True)
class Spread:
    """For each axis, which indices moved."""

    shape: tuple[int, ...]
    flags: tuple[Array, ...]

    @property
    def is_still(self) -> bool:
        """Whether nothing moved."""
        return not all(flags.any() for flags in self.flags)

    @property
    def share(self) -> float:
        """At most this part of the values moved."""
        return math.prod(float(flags.mean()) for flags in self.flags)

    def narrowest(self, count: int) -> int | None:
        """The axis along which the smallest part moved: that of the samples, while there is one.

        Axes that may hold ``count`` samples are asked first.
        """
        shares = {axis: float(flags.mean()) for axis, flags in enumerate(self.flags)}
        known = {axis: share for axis, share in shares.items() if share < 1}
        fitting = {axis: s for axis, s in known.items() if self.shape[axis] % count == 0}
        return min(fitting or known, key=lambda axis: known[axis], default=None)


def mark(tensor: Tensor) -> Mark | None:
    """The mark of a tensor; None for what holds no plain values."""
    if tensor.layout != torch.strided or tensor.is_nested or tensor.is_meta or not tensor.numel():
        return None
    plain = tensor.detach()
    plain = torch.view_as_real(plain.resolve_conj()) if plain.is_complex() else plain
    # Masked scores and tiny weights both count; asinh keeps them apart and finite.
    values = plain.float().asinh().nan_to_num(nan=_NOTHING, posinf=-_NOTHING, neginf=_NOTHING)
    sums = [_sums(values, axis) for axis in range(values.dim())]
    return Mark(tuple(tensor.shape), tuple(sums[: tensor.dim()]))


def _sums(values: Tensor, axis: int) -> Array:
    rows = values.movedim(axis, 0).reshape(values.shape[axis], -1)
    steps = torch.arange(1, rows.shape[1] + 1, device=rows.device, dtype=torch.float64)
    # Not random, but no sum of a layer's values is likely to be orthogonal to it.
    weights = (steps * 12.9898).sin().to(rows.dtype)
    found: Array = (rows @ weights).double().cpu().numpy()
    return found


def spread(before: Mark, after: Mark) -> Spread:
    """Which indices moved between two marks of tensors of one shape."""
    flags = []
    for old, new in zip(before.sums, after.sums, strict=True):
        step = np.abs(new - old)
        flags.append(step > _TOLERANCE * max(float(np.abs(old).max()), float(step.max())))
    return Spread(before.shape, tuple(flags))
