"""What the values of a drawn tensor are like, measured once it has been built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
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
# Tensors of up to so many values are measured together, from so many tensors on and up to so many
# values in all: for more the system has to find memory anew each time.
_TOGETHER, _SEVERAL, _AT_ONCE = 1 << 12, 8, 1 << 15
_LARGE = 1e9
# Of a normal law no value lies further out, of any number that there is; a deviation that
# outliers have blown up is still a sixth of them.
_ODD = 6.0
# Where a tail begins: beyond it lie at least as many values as outliers may be.
_TAIL, _SHORT_TAIL, _FEW_BEYOND = 0.01, 0.1, 4


def draw_of(tensor: Tensor) -> Draw | None:
    """The draw, None where it is too small, or no dense tensor of real floating numbers."""
    return draws_of([tensor])[0]


def draws_of(tensors: Sequence[Tensor]) -> list[Draw | None]:
    """The same of each; small ones take less time together."""
    found: list[Draw | None] = [None] * len(tensors)
    for places in _batches(tensors):
        part = [tensors[place].detach() for place in places]
        several = len(part) >= _SEVERAL
        draws = _together([_array(values) for values in part]) if several else [None] * len(part)
        for place, values, draw in zip(places, part, draws, strict=True):
            found[place] = draw or _draw(values)
    return found


def _batches(tensors: Sequence[Tensor]) -> Iterator[list[int]]:
    """The places of those that are measured: small ones together, each large one alone."""
    batch: list[int] = []
    values = 0
    for place, tensor in enumerate(tensors):
        if not _is_measured(tensor):
            continue
        count = tensor.numel()
        if count > _TOGETHER:
            yield [place]
            continue
        if values + count > _AT_ONCE:
            yield batch
            batch, values = [], 0
        batch.append(place)
        values += count
    if batch:
        yield batch


def _is_measured(tensor: Tensor) -> bool:
    is_dense = tensor.layout == torch.strided and tensor.is_floating_point()
    return is_dense and tensor.numel() >= _FEW


@np.errstate(divide="ignore", invalid="ignore", over="ignore")
def _together(arrays: list[Array]) -> list[Draw | None]:
    """The draws of small tensors, whose numbers take less time than the calls that compute them;
    None for those that have to be looked at one by one."""
    counts = np.array([array.size for array in arrays])
    values = np.concatenate([array.reshape(-1) for array in arrays], dtype=np.float64)
    starts = np.cumsum(counts) - counts
    means = np.add.reduceat(values, starts) / counts
    is_first = values == np.repeat(values[starts], counts)
    first = np.sort(values[starts[:, None] + np.arange(_SAMPLE)], axis=1)
    distinct = 1 + np.count_nonzero(first[:, 1:] != first[:, :-1], axis=1)
    values -= np.repeat(means, counts)
    reach = np.maximum(np.maximum.reduceat(values, starts), -np.minimum.reduceat(values, starts))
    np.square(values, out=values)
    variances = np.add.reduceat(values, starts) / counts
    np.square(values, out=values)
    kurtosis = np.add.reduceat(values, starts) / counts / variances**2
    deviations = np.sqrt(variances)
    outliers = reach / deviations
    # Where no value is the first one's again, no row is, either.
    is_plain = (np.add.reduceat(is_first, starts, dtype=np.intp) == 1) & (reach < _LARGE)
    columns = (
        is_plain & (outliers <= _ODD),
        means,
        deviations,
        kurtosis,
        counts,
        outliers,
        distinct,
    )
    return [
        Draw(
            mean=mean,
            std=std,
            kurtosis=kurt,
            n=n,
            outlier=out,
            distinct=d,
            tail_share=_tail_share(n),
        )
        if plain
        else None
        for plain, mean, std, kurt, n, out, d in zip(*(c.tolist() for c in columns), strict=True)
    ]


def _tail_share(n: int) -> float:
    return _TAIL if n * _TAIL >= _FEW_BEYOND else _SHORT_TAIL


def _draw(values: Tensor) -> Draw | None:
    count = values.numel()
    is_small = count <= _MEASURED
    whole = _array(values if is_small else values.reshape(-1)[:: count // _MEASURED])
    # Every step through values that lie apart waits for memory.
    sample = whole.reshape(-1) if is_small else np.ascontiguousarray(whole)
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
    share = _tail_share(n)
    is_odd = reach > _ODD * std
    edge = float(np.partition(np.abs(centred), -int(share * n))[-int(share * n)]) if is_odd else 0.0
    # Where no value is the first one's again, no row is, either.
    is_alike = not is_small or np.count_nonzero(sample == sample[0]) > 1
    rows, columns = _periods(values, whole if is_small else None) if is_alike else (0, 0)
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
        values = _array(tensor)
        key = tensor.shape, tensor.dtype, values.item(0), values.item(-1)
        alike.setdefault(key, []).append(name)
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
