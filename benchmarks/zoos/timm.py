"""Timm's models."""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import nn

from zoos import SIZES


class Timm:
    """timm's models."""

    most = 45

    def __init__(self) -> None:
        self._timm = importlib.import_module("timm")

    def names(self) -> list[str]:
        return self._timm.list_models()

    def ways(self, name: str) -> list[Any]:
        return [(side, options) for side in SIZES for options in ({"img_size": side}, {})]

    def build(self, name: str, way: Any) -> nn.Module:
        model = self._timm.create_model(name, pretrained=False, **way[1])
        if not model.num_classes:
            model.reset_classifier(1000)
        return model

    def batch(self, model: Any, name: str, way: Any) -> Any:
        channels = model.pretrained_cfg.get("input_size", (3,))[0]
        images = torch.randn(4, channels, way[0], way[0])
        return images, torch.randint(0, model.num_classes, (4,))


ZOO = Timm
