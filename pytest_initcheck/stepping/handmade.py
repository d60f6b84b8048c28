"""Recognises gradients that were cut between backward and step without a function of torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_initcheck.checks.step_rules import CUT_WARNING
from pytest_initcheck.stepping.observations import ClipKind
from pytest_initcheck.stepping.track import Track, size, total

_ALIKE = 1e-3


def cut_of(tracks: Sequence[Track]) -> tuple[ClipKind, float, float]:
    """How gradients were made smaller, and their norm before and after it.

    "value" where every element beyond a bound has been set to it and all others are untouched,
    "norm" where all have been multiplied by one number; "" for anything else, such as noise,
    projections or factors of samples, which are no clipping.
    """
    pairs = [
        (track.raw, track.parameter.grad)
        for track in tracks
        if track.raw is not None and track.parameter.grad is not None
    ]
    if not pairs or any(a.shape != b.shape or b.is_sparse for a, b in pairs):
        return "", 0.0, 0.0
    raw, used = total(size(a) for a, _ in pairs), total(size(b) for _, b in pairs)
    # Less is not looked at: it would not be told.
    if not 0 < CUT_WARNING * used <= raw < float("inf"):
        return "", raw, used
    if all(_is_clamped(a, b) for a, b in pairs):
        return "value", raw, used
    ratio = used / raw
    is_norm = total(size(b - a * ratio) for a, b in pairs) <= _ALIKE * used
    return ("norm" if is_norm else ""), raw, used


def _is_clamped(raw: Tensor, used: Tensor) -> bool:
    if raw.is_complex():
        return False
    bound = float(used.abs().max()) if used.numel() else 0.0
    return torch.equal(raw.to(used.dtype).clamp(-bound, bound), used)
