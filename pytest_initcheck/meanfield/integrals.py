"""Means of functions of one or two normal variables.

By Gauss's rule on both sides of zero, where the activations in use have their kinks, times the
normal density: Gauss and Hermite's own rule loses all but a few digits at a kink.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.meanfield.activations import Activation

# Beyond it lies 1e-18 of the normal distribution.
_REACH = 9.0
_OUTER, _INNER = 64, 32


@lru_cache(maxsize=4)
def _rule(points: int) -> tuple[Tensor, Tensor]:
    """Places and weights on [0, 1]."""
    places, weights = np.polynomial.legendre.leggauss(points)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)


def _normal(points: int) -> tuple[Tensor, Tensor]:
    """Places and weights of the standard normal distribution, halved at zero."""
    places, weights = _rule(points)
    right = places * _REACH
    z = torch.cat([-right.flip(0), right])
    w = torch.cat([weights.flip(0), weights]) * _REACH
    return z, w * _density(z)


def _density(z: Tensor) -> Tensor:
    return (-z.square() / 2).exp() / math.sqrt(2 * math.pi)


def mean(function: Activation, variance: Tensor) -> Tensor:
    """E f(u), u normal of these variances."""
    z, weights = _normal(_OUTER)
    found: Tensor = function(variance.sqrt()[..., None] * z) @ weights
    return found


def mean_of_pair(function: Activation, first: Tensor, second: Tensor, covariance: Tensor) -> Tensor:
    """E f(u) f(v), (u, v) normal with these variances and this covariance; each of one shape.

    The inner integral is halved where v is zero.
    """
    scales = first.sqrt(), second.sqrt()
    c = (covariance / (scales[0] * scales[1])).clamp(-1, 1)[..., None, None]
    rest = (1 - c.square()).clamp_min(1e-30).sqrt()
    z, weights = _normal(_OUTER)
    z, places = z[:, None], _rule(_INNER)
    kink = (-c * z / rest).clamp(-_REACH, _REACH)
    below = kink + (-_REACH - kink) * (1 - places[0])
    above = kink + (_REACH - kink) * places[0]
    other = torch.cat([below, above], -1)
    widths = torch.cat([(kink + _REACH) * places[1], (_REACH - kink) * places[1]], -1)
    inner = function(scales[1][..., None, None] * (c * z + rest * other)) * _density(other) * widths
    outer = function(scales[0][..., None] * z[:, 0]) * weights
    return (outer * inner.sum(-1)).sum(-1)
