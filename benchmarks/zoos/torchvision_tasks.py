"""Torchvision's models that are no classifiers of images, by the names of torchvision."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

_BACKBONES = ("detection", "segmentation")


class TorchvisionTasks:
    """torchvision's detection, segmentation, video, optical flow and quantised models."""

    most = 70

    def __init__(self) -> None:
        self._models = importlib.import_module("torchvision.models")
        parts = "detection", "segmentation", "video", "optical_flow", "quantization"
        self._kinds = {
            name: part
            for part in parts
            for name in self._models.list_models(getattr(self._models, part))
        }

    def names(self) -> list[str]:
        return list(self._kinds)

    def ways(self, name: str) -> list[Any]:
        return [{"weights_backbone": None}] if self._kinds[name] in _BACKBONES else [{}]

    def build(self, name: str, way: Any) -> nn.Module:
        return self._models.get_model(name, weights=None, **way)

    def batch(self, model: nn.Module, name: str, way: Any) -> Any:
        """Clips, pictures with a class for each pixel, or pictures; no boxes and no pairs."""
        kind = self._kinds[name]
        if kind == "video":
            return torch.randn(2, 3, 16, 112, 112), torch.randint(0, 400, (2,))
        if kind == "segmentation":
            return torch.randn(2, 3, 64, 64), torch.randint(0, 21, (2, 64, 64))
        if kind == "quantization":
            return torch.randn(4, 3, 224, 224), torch.randint(0, 1000, (4,))
        raise ValueError(f"no batch is made for {kind}")


ZOO = TorchvisionTasks
