"""How many independent samples a batch amounts to: fewer where they repeat or few outweigh."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.tensor_stats import plain

# Correlations farther apart than this are not looked for.
_FARTHEST = 256


class EffectiveSamples:
    """Measures the tensors of a batch that have one row per sample; read through a ledger."""

    def __init__(self, tensors: Iterable[Tensor], ledger: DeferredRead) -> None:
        self._ledger = ledger
        known = [t for t in tensors if t.dim() and t.layout == torch.strided]
        self._count = known[0].shape[0] if known else 0
        self._slots = [
            ledger.put(_effective(t), "sum")
            for t in known
            if t.shape[0] == self._count and self._count > 2 and t.numel()
        ]

    def number(self) -> float | None:
        """The least over the tensors; None where there are no rows to look at."""
        found = [float(self._ledger[slot].min()) for slot in self._slots]
        return min(found, default=None)


def _effective(tensor: Tensor) -> Tensor:
    """The effective number of rows by correlation along the batch, and by weight."""
    wide = torch.float32 if tensor.device.type == "mps" else torch.float64
    rows = plain(tensor).reshape(tensor.shape[0], -1)
    means = rows.mean(1).to(wide)
    squares = (rows - rows.mean()).square().mean(1).to(wide)
    weighed = squares.sum().square() / squares.square().sum()
    count = torch.full_like(weighed, tensor.shape[0])
    heavy = weighed if tensor.is_floating_point() else count
    correlated = torch.stack([_uncorrelated(means), _uncorrelated(squares)])
    return torch.cat([correlated, heavy.reshape(1)]).nan_to_num(float(tensor.shape[0])).clamp(min=1)


def _uncorrelated(values: Tensor) -> Tensor:
    """n / (1 + 2 Σ ρ) over the initial positive sequence (Geyer, Statistical Science 7, 1992)."""
    n = values.numel()
    centred = values - values.mean()
    spectrum = torch.fft.rfft(centred, 2 * n)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n)[: min(n, _FARTHEST)]
    correlation = covariance / covariance[0]
    # What lies within two standard errors of zero is what independent samples have, too. Negative
    # ones stay: they make up for the positive ones where samples come in turn.
    correlation[1:] *= correlation[1:].abs() > 2 / n**0.5
    pairs = correlation[: correlation.numel() // 2 * 2].reshape(-1, 2).sum(1)
    kept = torch.cumprod((pairs > 0).to(pairs.dtype), 0)
    total = 2 * (pairs * kept).sum() - 1
    number: Tensor = n / total.clamp(min=1.0)
    return number
