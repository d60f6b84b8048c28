"""Residual streams: how their writers are initialised."""

from __future__ import annotations

from . import faults, healthy

CASES = [
    *faults.CASES,
    *healthy.CASES,
]
