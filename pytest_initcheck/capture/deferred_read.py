"""Numbers that stay on the device until one host read fetches them all."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.across import Across, Extent, Kind, Slot
from pytest_initcheck.capture.joint_rows import JointRows

Array = np.ndarray[Any, Any]


class _Waiting(NamedTuple):
    """What waits for the next read, None for a row of `JointRows`; see `Slot` for the others."""

    value: Tensor | Array | None
    kind: Kind
    n: int


class DeferredRead:
    """Collects small device tensors and hands them out as float64 arrays after one read each.

    A slot is a number; what belongs to it is built after ``read`` from the arrays. With ``across``
    what several ranks have of one kind is merged as it is read.
    """

    def __init__(self, across: Across | None = None) -> None:
        self.across = across
        self._pending: list[_Waiting] = []
        self._values: list[Array] = []
        self._extents: dict[int, Extent] = {}
        self._joint = JointRows()

    def put(self, value: Tensor | Array, kind: Kind = "own", n: int = 0) -> int:
        """Keep a tensor for the next read, or numbers that are here already; its slot.

        ``kind`` says how those of several ranks become one, ``n`` of how many values they are.
        """
        flat = value.detach().reshape(-1) if isinstance(value, Tensor) else value
        return self._wait(flat, kind, n)

    def put_row_of(self, values: Array, *, is_binned: bool, kind: Kind = "own") -> int:
        """Keep values whose statistics are wanted: a row of `JointRows`; its slot."""
        self._joint.add(values, is_binned=is_binned)
        return self._wait(None, kind, len(values))

    def _wait(self, value: Tensor | Array | None, kind: Kind, n: int) -> int:
        self._pending.append(_Waiting(value, kind, n))
        return len(self._values) + len(self._pending) - 1

    def read(self) -> None:
        """Fetch all that was put since the last read: one transfer per device."""
        rows = iter(self._joint.rows())
        waiting = [next(rows) if each.value is None else each.value for each in self._pending]
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
        found = [value for value in waiting if isinstance(value, np.ndarray)]
        self._values += found if self.across is None else self._merged(self.across, found)
        self._pending, self._joint = [], JointRows()

    def _merged(self, across: Across, found: list[Array]) -> list[Array]:
        pairs = zip(found, self._pending, strict=True)
        slots = [Slot(numbers, waiting.kind, waiting.n) for numbers, waiting in pairs]
        numbers, extents = across.merged(slots)
        start = len(self._values)
        self._extents |= {start + place: extent for place, extent in extents.items()}
        return numbers

    def extent(self, slot: int, n: int) -> Extent:
        """Of how many values a slot is that this process put there for ``n``."""
        return self._extents.get(slot) or Extent(n)

    def __getitem__(self, slot: int) -> Array:
        return self._values[slot]
