"""Summaries of tensors, computed on the device and read later through a ledger."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.across import Extent, Kind
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.fingerprint import digest, fingerprint
from pytest_initcheck.capture.joint_rows import BINS
from pytest_initcheck.capture.pieces import PIECE, pieces
from pytest_initcheck.ranks.dtensors import whole
from pytest_initcheck.records import Histogram, TensorStats

# A histogram of more values than this moves no bin by a visible amount, and costs time.
SAMPLE = 1 << 16
# Numbers that stand for a row: its products with fixed vectors, and its norm.
PROJECTED = 5
# Below, several together take as long as one by itself.
_SMALL = 1 << 11
# The squares of what lies beyond overflow single precision.
_TAME = 1e15
# So many values in double precision stay in the cache.
_EXACT = 1 << 16
# One pass over the squares loses this share of its digits at most.
_CENTRED = 1 / 16
Array = np.ndarray[Any, Any]
Part = Literal["all", "moments", "range"]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A summary that is still on the device."""

    slot: int
    n: int
    dtype: str
    shape: tuple[int, ...]
    mark: int | None = None
    rows: int | None = None

    def stats(self, ledger: DeferredRead) -> TensorStats:
        """The summary as a record; the ledger has been read."""
        row = ledger[self.slot]
        finite, mean, variance, low, high, zeros = row[:6].tolist()
        extent = ledger.extent(self.slot, self.n)
        n, shape, dtype = extent.n, grown(self.shape, extent), self.dtype
        nonfinite = n - int(finite)
        zero_share = zeros / n if n else 0.0
        if finite == 0:
            return TensorStats(
                n=n,
                mean=None,
                std=None,
                min=None,
                max=None,
                zero_share=zero_share,
                nonfinite=nonfinite,
                histogram=None,
                dtype=dtype,
                shape=shape,
                digest=self._digest(ledger),
            )
        counts = tuple(row[6:].astype(int).tolist())
        histogram = Histogram(low, high, counts) if sum(counts) else None
        return TensorStats(
            n=n,
            mean=_known(mean),
            std=_known(math.sqrt(max(variance, 0.0)) if variance == variance else variance),
            min=_known(low),
            max=_known(high),
            zero_share=zero_share,
            nonfinite=nonfinite,
            histogram=histogram,
            dtype=dtype,
            shape=shape,
            digest=self._digest(ledger),
            independent=() if self.rows is None else tuple(ledger[self.rows].tolist()),
        )

    def square(self, ledger: DeferredRead) -> float:
        """The sum of the squares of the finite values; the ledger has been read."""
        finite, mean, variance = ledger[self.slot][:3]
        return float(finite * (mean**2 + variance))

    def _digest(self, ledger: DeferredRead) -> str:
        if self.mark is None:
            return ""
        return digest(ledger[self.mark].tolist(), self.dtype, self.shape)


def grown(shape: tuple[int, ...], extent: Extent) -> tuple[int, ...]:
    """The shape of the tensor of which this process has a part of that shape."""
    if not shape or extent.rows == extent.columns == 1:
        return shape
    wide = (*shape[:-1], shape[-1] * extent.columns)
    return (round(wide[0] * extent.rows), *wide[1:])


def _known(value: float) -> float | None:
    """A number; None where it was not measured."""
    return value if value == value else None


def plain(tensor: Tensor) -> Tensor:
    """The values of any tensor as a detached dense real floating tensor.

    Complex values become their modulus, sparse tensors their stored values; half precision
    becomes float32, since sums of many halves overflow.
    """
    tensor = whole(tensor)
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


def summarise(
    tensor: Tensor,
    ledger: DeferredRead,
    *,
    is_identified: bool = False,
    is_data: bool = False,
    of: Part = "all",
    sampled: int = SAMPLE,
    kind: Kind = "own",
) -> Summary:
    """Put count, moments, range, zeros and histogram of a tensor's finite values on the ledger.

    ``is_identified`` adds what tells it from any other tensor; ``is_data``, of how many independent
    values its moments are. A part ``of`` it takes a pass where all take several; the histogram
    counts about ``sampled`` values at most. ``kind`` is how those of several ranks become one.
    """
    shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
    kind = kind if ledger.across is None else ledger.across.kind_of(kind, shape)
    mark = ledger.put(fingerprint(tensor)) if is_identified else None
    flat = plain(tensor).reshape(-1)
    n = flat.numel()
    if n == 0:
        slot = ledger.put(torch.zeros(6 + BINS), kind)
        return Summary(slot=slot, n=0, dtype=dtype, shape=shape, mark=mark)
    slot = _put(flat, ledger, of, sampled, kind)
    has_rows = is_data and tensor.is_floating_point() and len(shape) > 0 and shape[0] > 1
    rows = _put_rows(flat.reshape(shape[0], -1), ledger, kind) if has_rows else None
    return Summary(slot=slot, n=n, dtype=dtype, shape=shape, mark=mark, rows=rows)


def _put(flat: Tensor, ledger: DeferredRead, of: Part, sampled: int, kind: Kind) -> int:
    n = flat.numel()
    if flat.device.type != "cpu":
        # Reading a number here would wait for the device.
        return ledger.put(_row(flat, sampled if of == "all" else 0), kind, n)
    if n <= _SMALL:
        # Who owns the tensor may write to it before the ledger is read.
        values = np.array(flat.numpy(force=True))
        return ledger.put_row_of(values, is_binned=of == "all", kind=kind)
    row = _PARTS[of](flat, sampled)
    return ledger.put(_row(flat, sampled if of == "all" else 0) if row is None else row, kind, n)


def _put_rows(rows: Tensor, ledger: DeferredRead, kind: Kind) -> int:
    if ledger.across is None or kind == "own":
        return ledger.put(_independent(rows))
    exact = rows.double()
    return ledger.put(torch.cat([exact.mean(1), exact.square().mean(1)]), "rows", rows.numel())


def _row(flat: Tensor, sampled: int) -> Tensor:
    """Count, mean, variance, least, greatest and zeros of the finite values, then the bins."""
    wide = torch.float32 if flat.device.type == "mps" else torch.float64
    head = _finite_moments(flat, finite := flat.isfinite(), wide)
    zeros = flat.numel() - torch.count_nonzero(flat)
    numbers = torch.stack([part.to(flat.device, wide) for part in (*head, zeros)])
    if not sampled:
        return numbers
    stride = stride_of(flat.numel(), sampled)
    counts = _histogram(flat[::stride], finite[::stride], head[3], head[4])
    return torch.cat([numbers, counts.to(wide)])


# On the CPU, of values that are all finite and tame, in as few passes as that takes; else None.
# Elementwise tests of finiteness cost twenty times what the range does.


def _all(flat: Tensor, sampled: int) -> Array | None:
    low, high, total, square, zeros = math.inf, -math.inf, 0.0, 0.0, 0
    n, place, sample = flat.numel(), 0, list[Array]()
    stride = stride_of(n, sampled)
    for (piece,) in pieces(flat):
        numbers = piece.numpy(force=True)
        least, greatest = map(float, torch.aminmax(piece))
        if not max(-least, greatest) < _TAME:
            return None
        low, high = min(low, least), max(high, greatest)
        total, square = total + float(piece.sum()), square + float(torch.dot(piece, piece))
        if least <= 0 <= greatest:
            zeros += len(numbers) - int(np.count_nonzero(numbers != 0))
        # Taken while it is in the cache.
        sample.append(np.array(numbers[-place % stride :: stride]))
        place += len(numbers)
    moments = (low, 0.0) if low == high else _moments(flat, total, square)
    bins = _bins(np.concatenate(sample), low, high)
    return np.concatenate([[n, *moments, low, high, zeros], bins])


def _moments_alone(flat: Tensor, _: int) -> Array | None:
    total = square = 0.0
    for (piece,) in pieces(flat):
        total, square = total + float(piece.sum()), square + float(torch.dot(piece, piece))
    if not math.isfinite(square):
        return None
    return np.array([flat.numel(), *_moments(flat, total, square), math.nan, math.nan, 0.0])


def _range_alone(flat: Tensor, _: int) -> Array | None:
    low, high = map(float, torch.aminmax(flat))
    is_finite = max(-low, high) < math.inf
    return np.array([flat.numel(), math.nan, math.nan, low, high, 0.0]) if is_finite else None


_PARTS = {"all": _all, "moments": _moments_alone, "range": _range_alone}


def _moments(flat: Tensor, total: float, square: float) -> tuple[float, float]:
    """Mean and variance, from the sums of the values and of their squares."""
    n = flat.numel()
    mean, square = total / n, square / n
    if square - mean**2 > _CENTRED * square:
        return mean, square - mean**2
    # A second pass, since one loses what is far from zero.
    mean = sum(float(piece.sum(dtype=torch.float64)) for (piece,) in pieces(flat)) / n
    spreads = (piece - mean for (piece,) in pieces(flat))
    return mean, sum(float(torch.dot(spread, spread)) for spread in spreads) / n


def _bins(sample: Array, low: float, high: float) -> Array:
    sample -= sample.dtype.type(low)
    sample /= max(high - low, float(np.finfo(sample.dtype).tiny))
    sample *= BINS
    counts = np.bincount(sample.astype(np.intp), minlength=BINS + 1)
    # The greatest value is at the end of the last bin.
    counts[BINS - 1] += counts[BINS]
    return counts[:BINS]


def stride_of(n: int, sampled: int) -> int:
    """From one value to the next where about ``sampled`` of ``n`` are taken."""
    return max(1, math.ceil(n / sampled))


def _finite_moments(flat: Tensor, finite: Tensor, wide: torch.dtype) -> list[Tensor]:
    """Count, mean, variance, least and greatest of the finite values."""
    count = finite.sum()
    safe = torch.where(finite, flat, 0.0).to(wide)
    mean = safe.sum() / count.clamp(min=1)
    variance = torch.where(finite, safe - mean, 0.0).square().sum() / count.clamp(min=1)
    low = torch.where(finite, flat, math.inf).amin()
    high = torch.where(finite, flat, -math.inf).amax()
    return [count, mean, variance, low, high]


def _histogram(sample: Tensor, finite: Tensor, low: Tensor, high: Tensor) -> Tensor:
    # torch.histc and torch.histogram cost three times as much and break on NaN.
    wide = torch.float32 if sample.device.type == "mps" else torch.float64
    sample, low, high = sample.to(wide), low.to(wide), high.to(wide)
    width = (high - low).clamp(min=torch.finfo(wide).tiny)
    place = ((sample - low) / width * BINS).nan_to_num(0.0, 0.0, 0.0).clamp(0, BINS - 1).long()
    place = torch.where(finite, place, BINS)
    counts = torch.zeros(BINS + 1, dtype=torch.int64, device=sample.device)
    return counts.scatter_add_(0, place, torch.ones_like(place))[:BINS]


def _independent(rows: Tensor) -> Tensor:
    """How many independent values have means, and variances, as certain as those of these rows.

    The mean of n values has the variance s²/n, and the variance of n normal ones 2s⁴/n; both are
    read off how the rows differ, so that neither what ties the values of a row together nor heavy
    tails need be known.
    """
    squares = (rows - rows.mean()).square()
    variance = squares.mean()
    parts = [
        variance / (rows.mean(1).var() / len(rows)),
        2 * variance.square() / (squares.mean(1).var() / len(rows)),
    ]
    return torch.stack(parts).nan_to_num(1.0, 1.0, 1.0).clamp(1, rows.numel())


def projections(rows: Tensor) -> Tensor:
    """Each row of an (n, d) matrix times fixed vectors, then its norm: (n, `PROJECTED`).

    Rows are equal, up to a chance of measure zero, exactly where their projections are; the
    vectors are the same in every call, so that moments can be compared. Cost O(n·d).
    """
    wide = torch.float32 if rows.device.type == "mps" else torch.float64
    d = rows.shape[1]
    if rows.device.type == "cpu":
        return _on_host(rows, _basis(d).numpy())
    basis = _basis(d).to(rows.device, wide)
    parts = []
    # In pieces, since a copy of a large table in double precision would be twice its size.
    for part in rows.split(max(1, PIECE // max(d, 1))):
        exact = part.to(wide)
        parts.append(torch.cat([exact @ basis, exact.norm(dim=1, keepdim=True)], dim=1))
    return torch.cat(parts)


def _on_host(rows: Tensor, basis: Array) -> Tensor:
    """The same in two thirds of the time that torch takes for so narrow a product."""
    (n, d), count = rows.shape, basis.shape[1]
    size = max(1, min(n, _EXACT // max(d, 1)))
    found, exact = np.empty((n, count + 1)), torch.empty(size, d, dtype=torch.float64)
    with np.errstate(all="ignore"):
        for start in range(0, n, size):
            part = exact[: n - start].copy_(rows[start : start + size]).numpy()
            np.matmul(part, basis, out=found[start : start + size, :count])
            np.einsum("ij,ij->i", part, part, out=found[start : start + size, count])
        np.sqrt(found[:, count], out=found[:, count])
    return torch.from_numpy(found)


@functools.lru_cache(maxsize=16)
def _basis(d: int) -> Tensor:
    # The caller's random streams must not move, so the vectors come from an own one.
    vectors = np.random.default_rng(d).standard_normal((d, PROJECTED - 1)) / math.sqrt(max(d, 1))
    return torch.as_tensor(vectors)
