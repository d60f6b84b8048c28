"""How far apart the magnitudes in a tensor lie: what memory holds, and no draw does."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.capture.tensor_stats import plain

# Of so many the median lies within two percent of a standard deviation; it is judged by decades.
_SAMPLE, _BLOCK = 1 << 12, 1 << 6


def magnitudes(tensor: Tensor) -> Tensor:
    """The least |value| above zero, and the median of those above zero; NaN where all are zero.

    The median of more than 4,096 is that of some 4,096 to 8,192 of them.
    """
    flat = plain(tensor).reshape(-1)
    if not flat.numel():
        return torch.full((2,), torch.nan, device=flat.device)
    wide = torch.float32 if flat.device.type == "mps" else torch.float64
    least = torch.stack([_least(piece) for (piece,) in pieces(flat)]).amin()
    median = _median(_sample(flat))
    return torch.stack([least.to(wide), median.to(wide)])


def _sample(flat: Tensor) -> Tensor:
    """Blocks at even distances: each value by itself would bring a page of memory of its own."""
    if flat.numel() <= _SAMPLE:
        return flat
    blocks = flat[: flat.numel() // _BLOCK * _BLOCK].reshape(-1, _BLOCK)
    return blocks[:: len(blocks) * _BLOCK // _SAMPLE].reshape(-1)


def _median(sample: Tensor) -> Tensor:
    """The lower median of the |values| above zero, NaN where there is none."""
    sizes = sample.abs()
    if sizes.device.type != "cpu":
        return torch.where(sizes > 0, sizes, torch.nan).nanmedian()
    # In a sixth of the time.
    known = sizes.numpy()
    known = known[known > 0]
    middle = (len(known) - 1) // 2
    return torch.as_tensor(np.partition(known, middle)[middle] if len(known) else np.nan)


def _least(piece: Tensor) -> Tensor:
    """The least |value| above zero, infinite where there is none."""
    sizes = piece.abs()
    least = sizes.amin()
    if piece.device.type == "cpu" and float(least) > 0:
        # Reading a number costs nothing here, and comparing each with zero costs most.
        return least
    return torch.where(sizes > 0, sizes, torch.inf).amin()
