"""Which indices along an axis moved, and how samples and positions may be laid out there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from pytest_initcheck.evidence import Array

# Rounding moves an output by this many units in the last place, relative to the largest.
_ROUNDING = 64
# Low precision is coarse, but the same arithmetic on the same values gives the same bits there.
_COARSE = 2
# What moves less than this, relative to what moves most, is rounding that a transform spreads.
_SPREAD = 1e-5


class NotFinite(Exception):
    """An output that is not finite shows no dependence."""


def moved_indices(before: Tensor, after: Tensor) -> Tensor:
    """Which values moved by more than rounding explains.

    Raises:
        NotFinite: the output holds NaN.
    """
    if before.is_floating_point():
        return _moved_floats(before.detach(), after.detach())
    return before != after


def _moved_floats(before: Tensor, after: Tensor) -> Tensor:
    if bool(before.isnan().any()):
        raise NotFinite
    # Masked outputs are infinite, and equal.
    step = torch.where(before == after, torch.zeros_like(before), (after - before).abs())
    step = step.double().nan_to_num(nan=torch.inf)
    finite = before[before.isfinite()]
    eps = torch.finfo(before.dtype).eps
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    allowed = (_ROUNDING if eps < 1e-4 else _COARSE) * eps * scale
    finite_steps = step[step.isfinite()]
    most = float(finite_steps.max()) if finite_steps.numel() else 0.0
    return step > max(allowed, _SPREAD * most)


def along(mask: Tensor, axis: int) -> Array:
    """For each index along an axis whether anything moved there."""
    flags = mask.movedim(axis, 0).reshape(mask.shape[axis], -1).any(dim=1)
    found: Array = flags.cpu().numpy()
    return found


def readings(flags: Array, count: int) -> Iterator[tuple[int, ...]]:
    """What moved, of ``count``, in each way in which an axis may hold them.

    An axis of several times the size holds them in blocks, one after the other, or in turns.
    """
    size = len(flags)
    if not count or not size or size % count:
        return
    hit = flags.nonzero()[0]
    block = size // count
    yield tuple(sorted({int(i) // block for i in hit}))
    if block > 1:
        yield tuple(sorted({int(i) % count for i in hit}))
