"""Gradients that are zero on paper: what is left of many terms that cancel is rounding."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_initcheck.baseline.samples import units
from pytest_initcheck.baseline.tolerance import epsilon
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats

# How many units of rounding the sum of n terms may be off by, for each of them: the terms come
# from a few operations that round too. Gradients before a batch norm have up to 25.
_UNITS = 100


def gradient_noise(model: ModelRecord) -> dict[str, float]:
    """By layer, below which size (root mean square) a parameter's gradient is rounding.

    The gradient of a bias is the sum of the layer's output gradients over samples and places; that
    of a weight weighs them by its inputs, which are of the order of 1. Where they are known of
    neighbours only, the larger of these counts.
    """
    terms = [_terms(layer) for layer in model.layers]
    return {layer.name: _nearest(terms, i) for i, layer in enumerate(model.layers)}


def _terms(layer: LayerRecord) -> float | None:
    stats = layer.activation_gradients
    if stats is None or not stats.rms or not math.isfinite(stats.rms):
        return None
    count = math.prod(stats.shape) / units(layer)
    return _UNITS * epsilon(stats.dtype) * count * stats.rms


def _nearest(terms: Sequence[float | None], i: int) -> float:
    own = terms[i]
    if own is not None:
        return own
    before = next((t for t in reversed(terms[:i]) if t is not None), 0.0)
    after = next((t for t in terms[i + 1 :] if t is not None), 0.0)
    return max(before, after)


def is_still(weight: TensorStats | None, ratio: float | None) -> bool:
    """Whether a parameter moved by less than its dtype can tell."""
    return weight is not None and ratio is not None and ratio <= epsilon(weight.dtype)
