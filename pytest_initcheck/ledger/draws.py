"""What the values of a drawn tensor are like, measured once it has been built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.evidence.construction import Draw

Array = np.ndarray[Any, Any]
# Of fewer values nothing is to be said.
_FEW = 64
# Enough to tell a continuous law from a handful of values, and a deviation to a hundredth.
_SAMPLE, _MEASURED = 64, 1 << 14
_LARGE = 1e9
# Of a normal law no value lies further out, of any number that there is; a deviation that
# outliers have blown up is still a sixth of them.
_ODD = 6.0
# Where a tail begins: beyond it lie at least as many values as outliers may be.
_TAIL, _SHORT_TAIL, _FEW_BEYOND = 0.01, 0.1, 4


def draw_of(tensor: Tensor) -> Draw | None:
    """The draw, None where it is too small, or no dense tensor of real floating numbers."""
    count = tensor.numel()
    if count < _FEW or not tensor.is_floating_point() or tensor.layout != torch.strided:
        return None
    values = tensor.detach()
    is_small = count <= _MEASURED
    whole = _array(values if is_small else values.reshape(-1)[:: count // _MEASURED])
    # Every step through values that lie apart waits for memory.
    sample = np.ascontiguousarray(whole).reshape(-1)
    low, high = _range(sample) if is_small else map(float, torch.aminmax(values))
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    n = len(sample)
    mean = float(_sum(sample)) / n
    reach = max(high - mean, mean - low)
    # Squares of more would overflow single precision.
    centred = sample - mean if reach < _LARGE else sample.astype(np.float64) - mean
    square = centred * centred
    variance = float(_sum(square)) / n
    if not variance > 0:
        return None
    std = math.sqrt(variance)
    share = _TAIL if n * _TAIL >= _FEW_BEYOND else _SHORT_TAIL
    is_odd = reach > _ODD * std
    edge = float(np.partition(np.abs(centred), -int(share * n))[-int(share * n)]) if is_odd else 0.0
    rows, columns = _periods(values, whole if is_small else None)
    first = sample if is_small else _array(values.reshape(-1)[:_SAMPLE])
    return Draw(
        mean=mean,
        std=std,
        kurtosis=float(np.dot(square, square)) / n / variance**2,
        n=n,
        outlier=reach / std,
        distinct=len(set(first[:_SAMPLE].tolist())),
        tail=reach / edge if edge else 0.0,
        tail_share=share,
        rows=rows,
        columns=columns,
    )


# Their methods on an array take twice as long to begin.
_sum, _least, _most = np.add.reduce, np.minimum.reduce, np.maximum.reduce


def _range(flat: Array) -> tuple[float, float]:
    return float(_least(flat)), float(_most(flat))


def _array(values: Tensor) -> Array:
    """As numpy has it, which knows no bfloat16."""
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        values = values.float().cpu()
    return values.numpy()


def twins_of(drawn: Mapping[str, Tensor], orders: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """For each name those of the same values, but for copies, which go back to the same write.

    They are compared in full where a few of their values are equal.
    """
    alike: dict[Any, list[str]] = {}
    for name, tensor in drawn.items():
        few = tensor.detach().reshape(-1)[:2].tolist()
        alike.setdefault((tuple(tensor.shape), tensor.dtype, *few), []).append(name)
    return {
        name: tuple(
            other
            for other in names
            if orders[other] != orders[name] and torch.equal(drawn[name], drawn[other])
        )
        for names in alike.values()
        if len(names) > 1
        for name in names
    }


def _periods(values: Tensor, array: Array | None) -> tuple[int, int]:
    """After how many rows, and columns, all of them come again; 0 where they do not."""
    if values.dim() < 2:
        return 0, 0
    # Nearly every draw is told apart by one number of each row.
    rest = (0,) * (values.dim() - 2)
    places: tuple[tuple[Any, ...], ...] = (slice(None), 0, *rest), (0, slice(None), *rest)
    held = [array[p] if array is not None else _array(values[p]) for p in places]
    rows, columns = (_period(values, first, axis) for axis, first in enumerate(held))
    return rows, columns


def _period(values: Tensor, firsts: Array, axis: int) -> int:
    """After how many rows, along an axis, all of them come again, by the first value of each."""
    is_alike = firsts[1:] == firsts[0]
    if not is_alike.any():
        return 0
    rows = values.transpose(0, axis)
    if rows[0].numel() < 2:
        return 0
    for start in (np.flatnonzero(is_alike) + 1).tolist():
        if len(rows) % start == 0 and torch.equal(rows[start:], rows[:-start]):
            return 0 if bool((rows[0] == rows[0].reshape(-1)[0]).all()) else int(start)
    return 0
