"""Convolutional networks of one to three dimensions."""

from __future__ import annotations

from . import healthy, signal, weights

CASES = [
    *weights.CASES,
    *signal.CASES,
    *healthy.CASES,
]
