"""Compares two runs from the same state."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from pytest_initcheck.checks.step_rules import ATOMIC
from pytest_initcheck.stepping.track import size


@dataclass(kw_only=True)
class Runs:
    """The model before, after two calls, and after two more from the same state."""

    model: nn.Module
    iterators: list[str]
    start: dict[str, Tensor] = field(default_factory=dict)
    first: dict[str, Tensor] = field(default_factory=dict)
    second: dict[str, Tensor] = field(default_factory=dict)

    def differing(self) -> dict[str, tuple[float, float]]:
        """How far the runs are apart, by name, and how far they may be: where that is more."""
        found = {}
        for name in (*self.first, *(n for n in self.second if n not in self.first)):
            a, b = self.first.get(name), self.second.get(name)
            if a is None or b is None or a.shape != b.shape:
                found[name] = (math.inf, 0.0)
            elif not _alike(a, b):
                apart, allowed = self._apart(name, a, b), _tolerance(a)
                if apart > allowed:
                    found[name] = (apart, allowed)
        return found

    def _apart(self, name: str, a: Tensor, b: Tensor) -> float:
        """The distance of the runs, over how far they went."""
        start = self.start.get(name)
        is_gradient = name.startswith("gradient ") or start is None or start.shape != a.shape
        went = size(_exact(a)) if is_gradient else size(_exact(a) - _exact(start))
        apart = size(_exact(a) - _exact(b))
        return apart / went if went else math.inf


def _alike(a: Tensor, b: Tensor) -> bool:
    return bool(((a == b) | (a.isnan() & b.isnan())).all()) if a.numel() else True


def _exact(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    kind = torch.complex128 if tensor.is_complex() else torch.float64
    return tensor.cpu().to(kind)


def _tolerance(tensor: Tensor) -> float:
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return 0.0
    rounding = math.sqrt(torch.finfo(tensor.dtype).eps)
    return rounding if tensor.device.type == "cpu" else max(rounding, ATOMIC)
