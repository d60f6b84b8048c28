"""Feed-forward networks."""

from __future__ import annotations

from . import data_scale, equal, healthy, healthy_data, signal, steps, units

CASES = [
    *equal.CASES,
    *units.CASES,
    *signal.CASES,
    *data_scale.CASES,
    *steps.CASES,
    *healthy.CASES,
    *healthy_data.CASES,
]
