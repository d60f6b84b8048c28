"""The memory behind tensors: which it is, and which of its elements have been written."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from pytest_initcheck.ledger.events import WriteEvent
from pytest_initcheck.ranks.dtensors import local


def key_of(tensor: Tensor) -> int:
    """A number that two tensors share where they share memory; 0 where it cannot be told."""
    try:
        return int(local(tensor).untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError, AttributeError, ValueError):
        # Wrapper subclasses, sparse tensors and lazy parameters have no memory of their own.
        return 0


@dataclass(slots=True)
class Memory:
    """One storage while a model is built. ``alive`` keeps its number from being given again.

    ``bytes`` is its size; ``sources`` are the numbers of those that it was computed from;
    ``is_known`` is False where it was made before, or beside, what is recorded.
    """

    alive: StorageWeakRef
    bytes: int = 0
    is_known: bool = True
    writes: list[WriteEvent] = field(default_factory=list)
    sources: frozenset[int] = frozenset()
    frame: int = 0
    is_written: bool = True
    mask: Tensor | None = None

    @classmethod
    def of(cls, tensor: Tensor, *, is_written: bool, is_known: bool = True) -> Memory:
        """Memory that was just made, with values or without."""
        storage = tensor.untyped_storage()
        return cls(
            StorageWeakRef(storage), storage.nbytes(), is_known=is_known, is_written=is_written
        )

    def share(self, tensor: Tensor) -> float:
        """Which part of the memory a view of it covers."""
        return min(1.0, tensor.numel() * tensor.element_size() / max(self.bytes, 1))

    def cover(self, tensor: Tensor) -> None:
        """What the view shows has been written."""
        if self.is_written or not tensor.numel():
            return
        if self.share(tensor) >= 1:
            self.is_written = True
            return
        if self.mask is None:
            self.mask = torch.zeros(_elements(tensor), dtype=torch.bool)
        self.mask.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset()).fill_(True)
        self.is_written = bool(self.mask.all())

    def spoil(self, tensor: Tensor) -> None:
        """What the view shows was overwritten by what nothing wrote to."""
        if self.share(tensor) >= 1:
            self.is_written, self.mask = False, None

    def unwritten(self, tensor: Tensor) -> float:
        """The share of a view's elements that nothing wrote to."""
        if self.is_written or not tensor.numel():
            return 0.0
        if self.mask is None:
            return 1.0
        view = self.mask.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
        return 1.0 - float(view.float().mean())


def _elements(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes()) // max(tensor.element_size(), 1)
