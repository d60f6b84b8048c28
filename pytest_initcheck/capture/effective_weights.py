"""Weights as layers use them, where these are made of parameters: rounded, masked, normalised."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.operators import storage_key


class UsedWeights:
    """Notes which layers use weights of zeros that are made of parameters."""

    def __init__(self, model: nn.Module) -> None:
        self._stored = {storage_key(parameter) for parameter in model.parameters()}
        self._zero: dict[str, list[Tensor]] = {}

    def know(self, parameter: Tensor) -> None:
        """A parameter as it is while its module runs."""
        self._stored.add(storage_key(parameter))

    def note(self, layer: str, weights: list[Tensor]) -> None:
        """Note the weights that a layer reads; those that are parameters themselves are known."""
        made = [t for t in weights if storage_key(t) not in self._stored and t.numel()]
        if made:
            with torch.no_grad():
                self._zero.setdefault(layer, []).append((made[-1] == 0).all())

    def vanished(self) -> tuple[str, ...]:
        """The layers whose weights were all zero in every call."""
        return tuple(name for name, flags in self._zero.items() if all(map(bool, flags)))
