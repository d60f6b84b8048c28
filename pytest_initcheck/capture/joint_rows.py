"""Statistics of many small tensors at once, for which a call costs more than what it computes."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
BINS = 32
# Values at a time: what is made of them on the way stays in the processor's cache.
_TOGETHER = 2**15


class JointRows:
    """Collects small arrays, and gives for each what `tensor_stats.summarise` reads of a tensor."""

    def __init__(self) -> None:
        self._values: list[Array] = []
        self._binned: list[bool] = []

    def add(self, values: Array, *, is_binned: bool) -> None:
        """Take the values of a tensor, at least one, that nobody writes to any more."""
        self._values.append(values)
        self._binned.append(is_binned)

    def rows(self) -> list[Array]:
        """Count, mean, variance, least, greatest and zeros of the finite values, then the bins."""
        found: list[Array] = []
        start, size = 0, 0
        for end, values in enumerate(self._values, 1):
            size += len(values)
            if size >= _TOGETHER or end == len(self._values):
                found += _rows(self._values[start:end], self._binned[start:end])
                start, size = end, 0
        return found


def _rows(arrays: list[Array], binned: list[bool]) -> list[Array]:
    with np.errstate(all="ignore"):
        lengths = np.array([len(values) for values in arrays])
        values = np.concatenate(arrays).astype(np.float64)
        heads, bins = _joint(values, lengths, is_binned=any(binned))
    return [
        np.concatenate([head, bins[place]]) if is_binned else head
        for place, (head, is_binned) in enumerate(zip(heads, binned, strict=True))
    ]


def _joint(values: Array, lengths: Array, *, is_binned: bool) -> tuple[Array, Array]:
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    finite = np.isfinite(values)
    safe = np.where(finite, values, 0.0)
    count = np.add.reduceat(finite, starts, dtype=np.float64)
    low = np.minimum.reduceat(np.where(finite, values, np.inf), starts)
    high = np.maximum.reduceat(np.where(finite, values, -np.inf), starts)
    low, high = np.where(count > 0, low, 0.0), np.where(count > 0, high, 0.0)
    mean = np.add.reduceat(safe, starts) / np.maximum(count, 1)
    mean = np.where(low == high, low, mean)
    spread = np.where(finite, safe - np.repeat(mean, lengths), 0.0)
    variance = np.add.reduceat(np.square(spread), starts) / np.maximum(count, 1)
    zeros = np.add.reduceat(values == 0, starts, dtype=np.float64)
    heads = np.stack([count, mean, variance, low, high, zeros], axis=1)
    bins = _bins(safe, finite, low, high, lengths) if is_binned else np.empty(0)
    return heads, bins


def _bins(safe: Array, finite: Array, low: Array, high: Array, lengths: Array) -> Array:
    # Of halves, as the difference of two large values may overflow.
    low, width = low / 2, np.maximum(high / 2 - low / 2, np.finfo(np.float64).tiny / 2)
    share = (safe / 2 - np.repeat(low, lengths)) / np.repeat(width, lengths)
    places = np.clip(share * BINS, 0, BINS - 1)[finite].astype(np.intp)
    owners = np.repeat(np.arange(len(lengths)), lengths)[finite]
    counts = np.bincount(owners * BINS + places, minlength=BINS * len(lengths))
    return counts.reshape(-1, BINS)
