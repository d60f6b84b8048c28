"""How far the parameters of a model move, from a sample of the values of each."""

from __future__ import annotations

import math
import statistics

import numpy as np
import torch
from torch import Tensor, nn

from pytest_initcheck.capture.movement import ratio
from pytest_initcheck.capture.tensor_stats import plain, stride_of
from pytest_initcheck.evidence import Array

# Of so many values the norms are known to a hundredth, and a model's copy takes no memory.
SAMPLED = 1 << 12


class SampledWeights:
    """About `SAMPLED` values of each parameter, always the same ones, in one host read."""

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._known = _shapes(model)
        sizes = [_sample(p).numel() for p in self._parameters()]
        self._places = np.cumsum([0, *sizes[:-1]])
        self._start = self.take()

    @property
    def is_outdated(self) -> bool:
        """Whether the model has other parameters by now."""
        return _shapes(self._model) != self._known

    def take(self) -> Array:
        """The values as they are now."""
        parts = [_sample(parameter) for parameter in self._parameters()]
        device = parts[0].device
        return torch.cat([part.to(device) for part in parts]).double().cpu().numpy()

    def moved(self, now: Array, before: Array | None = None) -> dict[str, float]:
        """‖now − before‖ / ‖before‖ per parameter, by default since the start."""
        origin = self._start if before is None else before
        norms = (self._norms(now - origin), self._norms(origin))
        return dict(zip(self._known, map(ratio, *norms), strict=True))

    def typical_move(self, before: Array) -> float:
        """The median over the weights, or over all where there are no matrices; NaN: not known."""
        if self.is_outdated:
            return math.nan
        moved = self.moved(self.take(), before)
        weights = [ratio for name, ratio in moved.items() if len(self._known[name]) > 1]
        return statistics.median(weights or moved.values())

    def _norms(self, values: Array) -> list[float]:
        found: list[float] = np.sqrt(np.add.reduceat(values * values, self._places)).tolist()
        return found

    def _parameters(self) -> list[Tensor]:
        return [p for name, p in self._model.named_parameters() if name in self._known]


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: p.shape for name, p in model.named_parameters() if p.numel()}


def _sample(parameter: Tensor) -> Tensor:
    values = plain(parameter).reshape(-1)
    stride = stride_of(values.numel(), SAMPLED)
    # An even stride would take all of its values from few columns of a matrix.
    return values[:: stride | 1] if stride > 1 else values
