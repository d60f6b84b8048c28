"""Torchvision's classification models."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from zoos import SIZES


class Torchvision:
    """torchvision's classification models."""

    most = 70

    def __init__(self) -> None:
        self._models = importlib.import_module("torchvision.models")

    def names(self) -> list[str]:
        return self._models.list_models(self._models)

    def ways(self, name: str) -> list[Any]:
        return list(SIZES)

    def build(self, name: str, way: Any) -> nn.Module:
        return self._models.get_model(name, weights=None)

    def batch(self, model: nn.Module, name: str, way: Any) -> Any:
        return torch.randn(4, 3, way, way), torch.randint(0, 1000, (4,))


ZOO = Torchvision
