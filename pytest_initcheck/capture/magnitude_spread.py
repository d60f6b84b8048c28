"""How far apart the magnitudes in a tensor lie: what memory holds, and no draw does."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.tensor_stats import SAMPLE, plain


def magnitudes(tensor: Tensor) -> Tensor:
    """The least |value| above zero, and the median of those above zero; NaN where all are zero.

    The median is that of a strided sample of at most 65,536 values.
    """
    sizes = plain(tensor).reshape(-1).abs()
    sizes = torch.where(sizes > 0, sizes, torch.nan)
    if not sizes.numel():
        return torch.full((2,), torch.nan, device=sizes.device)
    least = sizes.nan_to_num(torch.inf).amin()
    sample = sizes[:: max(1, sizes.numel() // SAMPLE)]
    wide = torch.float32 if sizes.device.type == "mps" else torch.float64
    return torch.stack([least.to(wide), sample.nanmedian().to(wide)])
