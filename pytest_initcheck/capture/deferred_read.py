"""Numbers that stay on the device until one host read fetches them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.joint_rows import JointRows

Array = np.ndarray[Any, Any]


class DeferredRead:
    """Collects small device tensors and hands them out as float64 arrays after one read each.

    A slot is a number; what belongs to it is built after ``read`` from the arrays.
    """

    def __init__(self) -> None:
        self._pending: list[Tensor | Array | None] = []
        self._values: list[Array] = []
        self._joint = JointRows()

    def put(self, value: Tensor | Array) -> int:
        """Keep a tensor for the next read, or numbers that are here already; its slot."""
        self._pending.append(value.detach().reshape(-1) if isinstance(value, Tensor) else value)
        return len(self._values) + len(self._pending) - 1

    def put_row_of(self, values: Array, *, is_binned: bool) -> int:
        """Keep values whose statistics are wanted: a row of `JointRows`; its slot."""
        self._joint.add(values, is_binned=is_binned)
        self._pending.append(None)
        return len(self._values) + len(self._pending) - 1

    def read(self) -> None:
        """Fetch all that was put since the last read: one transfer per device."""
        rows = iter(self._joint.rows())
        waiting = [next(rows) if value is None else value for value in self._pending]
        by_device: dict[torch.device, dict[int, Tensor]] = {}
        for place, value in enumerate(waiting):
            if isinstance(value, Tensor):
                by_device.setdefault(value.device, {})[place] = value
        for device, members in by_device.items():
            wide = torch.float32 if device.type == "mps" else torch.float64
            joined = torch.cat([value.to(wide) for value in members.values()])
            numbers, start = joined.cpu().double().numpy(), 0
            for place, value in members.items():
                waiting[place] = numbers[start : start + value.numel()]
                start += value.numel()
        self._values += [value for value in waiting if isinstance(value, np.ndarray)]
        self._pending, self._joint = [], JointRows()

    def __getitem__(self, slot: int) -> Array:
        return self._values[slot]
