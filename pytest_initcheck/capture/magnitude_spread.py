"""How far apart the magnitudes in a tensor lie: what memory holds, and no draw does."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.capture.tensor_stats import SAMPLE, plain


def magnitudes(tensor: Tensor) -> Tensor:
    """The least |value| above zero, and the median of those above zero; NaN where all are zero.

    The median is that of a strided sample of at most 65,536 values.
    """
    flat = plain(tensor).reshape(-1)
    if not flat.numel():
        return torch.full((2,), torch.nan, device=flat.device)
    wide = torch.float32 if flat.device.type == "mps" else torch.float64
    least = torch.stack([_least(piece) for (piece,) in pieces(flat)]).amin()
    sample = flat[:: max(1, flat.numel() // SAMPLE)].abs()
    median = torch.where(sample > 0, sample, torch.nan).nanmedian()
    return torch.stack([least.to(wide), median.to(wide)])


def _least(piece: Tensor) -> Tensor:
    """The least |value| above zero, infinite where there is none."""
    sizes = piece.abs()
    return torch.where(sizes > 0, sizes, torch.inf).amin()
