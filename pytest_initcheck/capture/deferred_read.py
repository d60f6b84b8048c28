"""Numbers that stay on the device until one host read fetches them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


class DeferredRead:
    """Collects small device tensors and hands them out as float64 arrays after one read each.

    A slot is a number; what belongs to it is built after ``read`` from the arrays.
    """

    def __init__(self) -> None:
        self._pending: list[Tensor] = []
        self._values: list[np.ndarray[Any, Any]] = []

    def put(self, value: Tensor) -> int:
        """Keep a tensor for the next read and return its slot."""
        self._pending.append(value.detach().reshape(-1))
        return len(self._values) + len(self._pending) - 1

    def read(self) -> None:
        """Fetch all that was put since the last read: one transfer per device."""
        sizes = [value.numel() for value in self._pending]
        by_device: dict[torch.device, list[int]] = {}
        for i, value in enumerate(self._pending):
            by_device.setdefault(value.device, []).append(i)
        fetched: dict[int, np.ndarray[Any, Any]] = {}
        for device, members in by_device.items():
            wide = torch.float32 if device.type == "mps" else torch.float64
            joined = torch.cat([self._pending[i].to(wide) for i in members]).cpu().double().numpy()
            ends = np.cumsum([sizes[i] for i in members])
            fetched.update(zip(members, np.split(joined, ends[:-1]), strict=True))
        self._values += [fetched[i] for i in range(len(sizes))]
        self._pending = []

    def __getitem__(self, slot: int) -> np.ndarray[Any, Any]:
        return self._values[slot]
