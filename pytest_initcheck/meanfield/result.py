"""What was measured of a random network over its layers, beside what theory says."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.meanfield.theory import MeanField
from pytest_initcheck.records import RunRecord
from pytest_initcheck.statistics import CONFIDENCE

# Layers without which a line through them says nothing of its error.
_FEWEST = 3


@dataclass(frozen=True, kw_only=True)
class EdgeOfChaos:
    """Two inputs through networks of several seeds; see `edge_of_chaos`.

    ``kernels`` is seeds × layers × 3: the variances of the pre-activations for both inputs, and
    their covariance, as the weights' distribution gives them from the layer before.
    ``expected`` is what the map makes of each seed's kernel of the layer before, seeds × (layers -
    1) × 3: at any width the mean of what follows, since units are drawn independently.
    """

    theory: MeanField
    seeds: tuple[int, ...]
    kernels: Tensor
    expected: Tensor
    meta: dict[str, str]

    @property
    def correlations(self) -> Tensor:
        """Of the two inputs: seeds × layers."""
        first, second, both = self.kernels.unbind(-1)
        return both / (first * second).sqrt()

    @property
    def predicted(self) -> Tensor:
        """The correlation that theory gives from the first layer on: layers."""
        kernel = self.kernels[0, 0]
        path = [kernel]
        for _ in range(self.kernels.shape[1] - 1):
            path.append(kernel := self.theory.kernel(kernel))
        first, second, both = torch.stack(path).unbind(-1)
        return both / (first * second).sqrt()

    @property
    def deviations(self) -> Tensor:
        """What is measured less what the map gives from the layer before, in standard errors over
        the seeds: (layers - 1) × 3."""
        difference = (self.kernels[:, 1:] - self.expected) / self.expected.abs().mean(0)
        count = len(self.seeds)
        # Relative to what rounding alone would leave, where all seeds are the same.
        error = (difference.std(0) / math.sqrt(count)).clamp_min(1e-12)
        return difference.mean(0) / error

    def agrees(self, confidence: float = CONFIDENCE) -> bool:
        """Whether no layer contradicts theory, with that confidence over all of them together.

        Student's t over the seeds, its level shared by all values (Bonferroni).
        """
        from scipy.special import stdtrit

        values = self.deviations.abs()
        level = (1 - confidence) / values.numel()
        return float(values.max()) <= -float(stdtrit(len(self.seeds) - 1, level / 2))

    @property
    def depth_scale(self) -> float:
        """ξ_c as measured, in layers: from the decay of the mean correlation's distance from c*.
        NaN where it stands out in fewer than three layers."""
        return self._scale(self.correlations.mean(0))

    @property
    def depth_scale_interval(self) -> tuple[float, float]:
        """95 % of `depth_scale`, by leaving out one seed at a time (Efron and Stein, 1981)."""
        from scipy.special import stdtrit

        paths, count = self.correlations, len(self.seeds)
        others = (paths.sum(0) - paths) / (count - 1)
        rates = torch.tensor([1 / self._scale(each) for each in others], dtype=torch.float64)
        error = float((rates - rates.mean()).square().sum().mul((count - 1) / count).sqrt())
        rate = 1 / self.depth_scale
        reach = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error
        return 1 / (rate + reach), 1 / (rate - reach) if rate > reach else math.inf

    @property
    def predicted_depth_scale(self) -> float:
        """What theory's correlations give on the same layers as `depth_scale`: near ξ_c, not equal
        to it, since the first layers are not yet near c*."""
        return self._scale(self.predicted)

    def _scale(self, path: Tensor) -> float:
        count = self._clear
        if count < _FEWEST:
            return math.nan
        distance = (path - self.theory.fixed_correlation).abs()[:count].log()
        depth = torch.arange(count).double()
        depth -= depth.mean()
        rate = -float(depth @ distance) / float(depth.square().sum())
        return 1 / rate if rate > 0 else math.inf

    @property
    def _clear(self) -> int:
        """In how many layers the distance from c* stands out, before it falls below four errors."""
        paths = self.correlations
        least = 4 * paths.std(0) / math.sqrt(len(self.seeds))
        clear = (paths.mean(0) - self.theory.fixed_correlation).abs() > least
        return int(clear.int().cumprod(0).sum())

    def to_frame(self) -> Any:
        """One row per layer: variance and correlation, measured with standard error, and theory."""
        import pandas as pd

        root = math.sqrt(len(self.seeds))
        first, paths = self.kernels[..., 0], self.correlations
        return pd.DataFrame(
            {
                "layer": range(1, paths.shape[1] + 1),
                "variance": first.mean(0).numpy(),
                "variance error": (first.std(0) / root).numpy(),
                "correlation": paths.mean(0).numpy(),
                "correlation error": (paths.std(0) / root).numpy(),
                "correlation in theory": self.predicted.numpy(),
            }
        )

    def run_record(self) -> RunRecord:
        """The record for report and baseline: a value per layer and seed."""
        return RunRecord(
            seeds=self.seeds,
            curves={
                "correlation": tuple(tuple(path.tolist()) for path in self.correlations),
                "variance": tuple(tuple(path.tolist()) for path in self.kernels[..., 0]),
            },
            meta=self.meta,
        )

    def __str__(self) -> str:
        theory = self.theory
        told = "agrees with" if self.agrees() else "contradicts"
        return (
            f"{theory.phase}: chi {theory.chi:.4g}, correlation to {theory.fixed_correlation:.4g} "
            f"over {theory.depth_scale:.3g} layers; what {len(self.seeds)} seeds show {told} it"
        )
