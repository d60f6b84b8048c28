"""Summaries of tensors, computed on the device and read later through a ledger."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.ledger import Ledger
from pytest_initcheck.records import Histogram, TensorStats

BINS = 32
# A histogram of more values than this moves no bin by a visible amount, and costs time.
SAMPLE = 1 << 16


@dataclass(frozen=True)
class Summary:
    """A summary that is still on the device."""

    slot: int
    n: int
    dtype: str
    shape: tuple[int, ...]

    def stats(self, ledger: Ledger) -> TensorStats:
        """The summary as a record; the ledger has been read."""
        row = ledger[self.slot]
        finite, mean, variance, low, high, zeros = row[:6]
        dtype = self.dtype
        nonfinite = self.n - int(finite)
        zero_share = float(zeros) / self.n if self.n else 0.0
        if finite == 0:
            return TensorStats(
                self.n, None, None, None, None, zero_share, nonfinite, None, dtype, self.shape
            )
        counts = tuple(int(count) for count in row[6:])
        histogram = Histogram(float(low), float(high), counts) if sum(counts) else None
        return TensorStats(
            self.n,
            float(mean),
            math.sqrt(max(float(variance), 0.0)),
            float(low),
            float(high),
            zero_share,
            nonfinite,
            histogram,
            dtype,
            self.shape,
        )


def plain(tensor: Tensor) -> Tensor:
    """The values of any tensor as a detached dense real floating tensor.

    Complex values become their modulus, sparse tensors their stored values; half precision
    becomes float32, since sums of many halves overflow.
    """
    tensor = tensor.detach()
    if tensor.layout != torch.strided:
        tensor = (
            tensor.coalesce().values() if tensor.layout == torch.sparse_coo else tensor.to_dense()
        )
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    if tensor.is_complex():
        tensor = tensor.abs()
    if tensor.dtype not in (torch.float32, torch.float64):
        tensor = tensor.float()
    return tensor


def summarise(tensor: Tensor, ledger: Ledger) -> Summary:
    """Put count, moments, range, zeros and histogram of a tensor's finite values on the ledger."""
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    flat = plain(tensor).reshape(-1)
    n = flat.numel()
    if n == 0:
        return Summary(ledger.put(torch.zeros(6 + BINS)), 0, dtype, shape)
    wide = torch.float32 if flat.device.type == "mps" else torch.float64
    low, high = torch.aminmax(flat)
    if _is_finite(low, high):
        # Squares of what is beyond this overflow single precision.
        flat = flat.to(wide) if max(-float(low), float(high)) > 1e15 else flat
        head = [*_moments(flat, wide), low, high]
        count = torch.full((), n, device=flat.device)
        finite = None
    else:
        finite = flat.isfinite()
        count, known = finite.sum(), flat[finite]
        nothing = torch.zeros(1, dtype=flat.dtype, device=flat.device)
        known = known if known.numel() else nothing
        head = [*_moments(known, wide), *torch.aminmax(known)]
    zeros = n - torch.count_nonzero(flat)
    counts = _histogram(flat, finite, head[2], head[3])
    row = torch.stack([part.to(wide) for part in (count, *head, zeros)])
    return Summary(ledger.put(torch.cat([row, counts.to(wide)])), n, dtype, shape)


def _is_finite(low: Tensor, high: Tensor) -> bool:
    # Elementwise tests of finiteness cost twenty times what the range does. On the CPU reading
    # it costs nothing; elsewhere it would wait for the device, so that the slow way is taken.
    return low.device.type == "cpu" and bool((high - low).isfinite())


def _moments(flat: Tensor, wide: torch.dtype) -> tuple[Tensor, Tensor]:
    """Mean and population variance; two passes, since one loses what is far from zero."""
    mean = flat.sum(dtype=wide) / flat.numel()
    spread = flat - mean.to(flat.dtype)
    return mean, torch.dot(spread, spread).to(wide) / flat.numel()


def _histogram(flat: Tensor, finite: Tensor | None, low: Tensor, high: Tensor) -> Tensor:
    # torch.histc and torch.histogram cost three times as much and break on NaN.
    stride = max(1, math.ceil(flat.numel() / SAMPLE))
    sample = flat[::stride]
    width = (high - low).clamp(min=torch.finfo(flat.dtype).tiny)
    place = ((sample - low) / width * BINS).nan_to_num(0.0, 0.0, 0.0).clamp(0, BINS - 1).long()
    if finite is not None:
        place = torch.where(finite[::stride], place, BINS)
    counts = torch.zeros(BINS + 1, dtype=torch.int64, device=flat.device)
    return counts.scatter_add_(0, place, torch.ones_like(place))[:BINS]


def projections(rows: Tensor, count: int = 4) -> Tensor:
    """Each row of an (n, d) matrix times ``count`` fixed vectors, then its norm: (n, count + 1).

    Rows are equal, up to a chance of measure zero, exactly where their projections are; the
    vectors are the same in every call, so that moments can be compared. Cost O(n·d).
    """
    wide = torch.float32 if rows.device.type == "mps" else torch.float64
    d = rows.shape[1]
    # The caller's random streams must not move, so the vectors come from an own one.
    vectors = np.random.default_rng(d).standard_normal((d, count)) / math.sqrt(max(d, 1))
    rows = rows.to(wide)
    basis = torch.as_tensor(vectors, dtype=wide, device=rows.device)
    return torch.cat([rows @ basis, rows.norm(dim=1, keepdim=True)], dim=1)
