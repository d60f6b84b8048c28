"""Models of several networks, layers of their own kind, and unusual ways to call them."""

from __future__ import annotations

from . import ensembles, generative, layers, numerics, wrappers

CASES = [
    *ensembles.CASES,
    *generative.CASES,
    *layers.CASES,
    *numerics.CASES,
    *wrappers.CASES,
]
