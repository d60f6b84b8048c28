"""Curves of one training, gathered on the device and read once per epoch."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pytest_initcheck.records import Curve


@dataclass
class History:
    """Curves (one value per epoch) and final metrics of the training of one seed."""

    curves: dict[str, list[float]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def add(self, values: dict[str, float]) -> None:
        """Append one epoch."""
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)

    def curve(self, name: str) -> Curve:
        """The curve of that name."""
        return tuple(self.curves[name])

    def finish(self) -> None:
        """Add the final value of every curve, and whether the training diverged, as metrics."""
        for name, values in self.curves.items():
            self.metrics.setdefault(name, values[-1])
        finite = all(math.isfinite(v) for v in self.curves["loss"])
        self.metrics["diverged"] = float(not finite)


class Tally:
    """Sums over the batches of an epoch, for one model or for several at once.

    The cost is the mean over batches weighted by their size; a prediction that is NaN counts as
    wrong, so that a diverged model never scores.
    """

    def __init__(self) -> None:
        self.loss: Tensor | None = None
        self.right: Tensor | None = None
        self.samples = 0
        self.decisions = 0

    def add(self, loss: Tensor, outputs: Tensor, targets: Tensor, classes: int | None) -> None:
        """Add a batch: ``classes`` is the dimension of the outputs that holds the classes."""
        right, decisions = None, 0
        if classes is not None:
            right = hits(outputs.detach(), targets, classes).flatten(loss.ndim).sum(-1)
            decisions = targets[(0,) * loss.ndim].numel()
        size = targets.shape[loss.ndim]
        self.count(loss.detach().double() * size, right, size, decisions)

    def count(self, total: Tensor, right: Tensor | None, samples: int, decisions: int) -> None:
        """Add the costs of all ``samples``, and how many ``decisions`` are right."""
        self.loss = total if self.loss is None else self.loss + total
        self.samples += samples
        if right is not None:
            self.right = right if self.right is None else self.right + right
            self.decisions += decisions

    def means(self, prefix: str = "") -> list[dict[str, float]]:
        """Mean loss, and accuracy where there are classes, of every model."""
        assert self.loss is not None
        losses = (self.loss / self.samples).reshape(-1).tolist()
        result = [{f"{prefix}loss": value} for value in losses]
        if self.right is not None:
            shares = (self.right.double() / self.decisions).reshape(-1).tolist()
            for values, share in zip(result, shares, strict=True):
                values[f"{prefix}accuracy"] = share
        return result


def hits(outputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Where the most probable class is the target."""
    highest, place = torch.max(outputs, dim=classes)
    return (place == targets) & ~highest.isnan()
