"""Attention and Transformers."""

from __future__ import annotations

from . import experts, faults, healthy, weights

CASES = [
    *faults.CASES,
    *healthy.CASES,
    *experts.CASES,
    *weights.CASES,
]
