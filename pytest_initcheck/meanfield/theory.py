"""Mean field theory of signals in wide random networks: maps from layer to layer, and depths.

Poole, Lahiri, Raghu, Sohl-Dickstein and Ganguli: Exponential expressivity in deep neural networks
through transient chaos (2016); Schoenholz, Gilmer, Ganguli and Sohl-Dickstein: Deep information
propagation (2017). Weights are N(0, sigma_w²/fan-in), biases N(0, sigma_b²).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.meanfield.activations import Activation, activation_of, derivative
from pytest_initcheck.meanfield.integrals import mean, mean_of_pair

_ITERATIONS = 1_000
_SETTLED = 1e-13
# Below and above it a variance that only shrinks or grows is taken for gone to its end.
_LEAST, _MOST = 1e-12, 1e12
# What the means lose to rounding and to the rule, so that a slope of one is not told from it.
_ROUNDING = 1e-8

Phase = Literal["ordered", "edge", "chaotic"]


@dataclass(frozen=True)
class MeanField:
    """A family of networks without end in width: an activation, sigma_w and sigma_b.

    ``activation`` is "tanh", "relu", "erf" or a function of a tensor, smooth but for a kink at 0.

    Raises:
        InitcheckError: no activation, or standard deviations that are none.
    """

    activation: str | Activation
    sigma_w: float
    sigma_b: float = 0.0

    def __post_init__(self) -> None:
        activation_of(self.activation)
        for name in ("sigma_w", "sigma_b"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < math.inf:
                raise InitcheckError(f"{name}={value!r}: pass a standard deviation, 0 or more")

    def variance(self, before: float) -> float:
        """The variance of pre-activations from that of the layer before (Poole, eq. 3)."""
        function = activation_of(self.activation)
        square = mean(lambda u: function(u).square(), _number(before))
        return self.sigma_w**2 * float(square) + self.sigma_b**2

    def kernel(self, before: Tensor) -> Tensor:
        """Variances and covariance (…, 3: first, second, both) of two inputs' pre-activations from
        those of the layer before (Poole, eq. 5)."""
        function = activation_of(self.activation)
        first, second, both = before.double().unbind(-1)
        found = [
            mean(lambda u: function(u).square(), first),
            mean(lambda u: function(u).square(), second),
            mean_of_pair(function, first, second, both),
        ]
        return self.sigma_w**2 * torch.stack(found, -1) + self.sigma_b**2

    def correlation(self, before: float) -> float:
        """The correlation of two inputs, of variance `fixed_variance` each, a layer further."""
        q = self._scale
        found = self.kernel(torch.tensor([q, q, q * before]))
        return float(found[2] / found[0])

    @cached_property
    def fixed_variance(self) -> float:
        """q*, where the variance ends over the layers: 0 or inf where it only shrinks or grows."""
        return _settled(self.variance, 1.0)

    @property
    def _scale(self) -> float:
        # Where there is no q*, what is asked has a limit there, which is reached soon.
        return min(max(self.fixed_variance, _LEAST), _MOST)

    def slope(self, correlation: float) -> float:
        """The derivative of the correlation map, by which a small difference between correlations
        grows from layer to layer: sigma_w² E φ'(u) φ'(v), in parts of the variance's own growth
        where there is no q*."""
        slopes = derivative(activation_of(self.activation))
        q = _number(self._scale)
        grown = self.variance(self._scale) / self._scale
        return self.sigma_w**2 * float(mean_of_pair(slopes, q, q, q * correlation)) / grown

    @cached_property
    def chi(self) -> float:
        """χ₁ = sigma_w² E φ'(u)²: the factor of the mean square of gradients, and of small
        differences between inputs, from layer to layer (Schoenholz, eq. 5)."""
        slopes = derivative(activation_of(self.activation))
        return self.sigma_w**2 * float(mean(lambda u: slopes(u).square(), _number(self._scale)))

    @property
    def phase(self) -> Phase:
        """ "ordered" where differences and gradients shrink from layer to layer (χ₁ < 1), "chaotic"
        where they grow, and between them the "edge"."""
        if abs(self.chi - 1) <= _ROUNDING:
            return "edge"
        return "ordered" if self.chi < 1 else "chaotic"

    @cached_property
    def fixed_correlation(self) -> float:
        """c*, where the correlation of two inputs ends over the layers."""
        if self.slope(1.0) <= 1 + _ROUNDING:
            return 1.0
        return _settled(self.correlation, 0.0)

    @property
    def depth_scale(self) -> float:
        """ξ_c, in layers: the correlation nears c* as exp(-l / ξ_c) (Schoenholz, eq. 9); inf at the
        edge of chaos, 0 where one layer is enough."""
        slope = self.slope(self.fixed_correlation)
        if slope <= 0:
            return 0.0
        return math.inf if abs(slope - 1) <= _ROUNDING else -1 / math.log(slope)


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def _settled(function: Callable[[float], float], start: float) -> float:
    """Where a map ends that is repeated from a start; 0 or inf where it only shrinks or grows.

    By Steffensen's iteration, since near the edge of chaos the map alone takes thousands of steps.
    """
    place = start
    for _ in range(_ITERATIONS):
        once = function(place)
        twice = function(once)
        bend = twice - 2 * once + place
        ahead = place - (once - place) ** 2 / bend if bend else twice
        last, place = place, ahead if ahead > 0 else twice
        if place > _MOST:
            return math.inf
        if abs(place - last) <= _SETTLED * max(abs(place), start):
            break
    return 0.0 if place < _LEAST else place


def critical_sigma_w(activation: str | Activation, sigma_b: float = 0.0) -> float:
    """The sigma_w of the edge of chaos, where χ₁ = 1, at a given sigma_b.

    Raises:
        InitcheckError: there is none between 0.1 and 10.
    """
    from scipy.optimize import brentq

    def beyond(sigma_w: float) -> float:
        return MeanField(activation, sigma_w, sigma_b).chi - 1

    low, high = 0.1, 10.0
    if beyond(low) > 0 or beyond(high) < 0:
        raise InitcheckError(f"sigma_b={sigma_b}: no sigma_w from {low} to {high} has χ₁ = 1")
    return float(brentq(beyond, low, high, xtol=1e-10))
