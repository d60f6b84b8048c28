"""Recurrent networks."""

from __future__ import annotations

from . import faults, healthy

CASES = [
    *faults.CASES,
    *healthy.CASES,
]
