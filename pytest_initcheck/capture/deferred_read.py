"""Numbers that stay on the device until one host read fetches them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray[Any, Any]


class DeferredRead:
    """Collects small device tensors and hands them out as float64 arrays after one read each.

    A slot is a number; what belongs to it is built after ``read`` from the arrays.
    """

    def __init__(self) -> None:
        self._pending: list[Tensor | Array] = []
        self._values: list[Array] = []

    def put(self, value: Tensor | Array) -> int:
        """Keep a tensor for the next read, or numbers that are here already; its slot."""
        self._pending.append(value.detach().reshape(-1) if isinstance(value, Tensor) else value)
        return len(self._values) + len(self._pending) - 1

    def read(self) -> None:
        """Fetch all that was put since the last read: one transfer per device."""
        waiting = list(self._pending)
        by_device: dict[torch.device, dict[int, Tensor]] = {}
        for place, value in enumerate(waiting):
            if isinstance(value, Tensor):
                by_device.setdefault(value.device, {})[place] = value
        for device, members in by_device.items():
            wide = torch.float32 if device.type == "mps" else torch.float64
            joined = torch.cat([value.to(wide) for value in members.values()])
            ends = np.cumsum([value.numel() for value in members.values()])[:-1]
            parts = np.split(joined.cpu().double().numpy(), ends)
            for place, part in zip(members, parts, strict=True):
                waiting[place] = part
        self._values += [value for value in waiting if isinstance(value, np.ndarray)]
        self._pending = []

    def __getitem__(self, slot: int) -> Array:
        return self._values[slot]
