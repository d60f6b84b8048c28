"""The memory behind tensors: which it is, and what of it a tensor shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pytest_initcheck.ranks.dtensors import local


def storage_of(tensor: Tensor) -> torch.UntypedStorage | None:
    """The memory of a tensor, of the part of it that is held here; None where there is none."""
    try:
        kind = type(tensor)
        held = tensor if kind is Tensor or kind is nn.Parameter else local(tensor)
        return held.untyped_storage()
    except (NotImplementedError, RuntimeError, AttributeError, ValueError):
        # Wrapper subclasses, sparse tensors and lazy parameters have no memory of their own.
        return None


def key_of(tensor: Tensor) -> int:
    """A number that two tensors share where they share memory; 0 where it cannot be told."""
    storage = storage_of(tensor)
    number: int = 0 if storage is None else storage._cdata
    return number


class Numbers:
    """Keeps the numbers of storages, but not their memory, from being given again."""

    def __init__(self) -> None:
        self._held: set[int] = set()

    def keep(self, storage: torch.UntypedStorage) -> int:
        """The number, from now on nobody else's until this goes away.

        A weak reference of Python to each would take four times as long, once more when it is
        given back.
        """
        number: int = storage._cdata
        if number not in self._held:
            self._held.add(storage._weak_ref())  # type: ignore[arg-type]
        return number

    # The argument outlives the module torch, which is taken down before the last objects are.
    def __del__(self, free: Callable[..., Any] = torch.UntypedStorage._free_weak_ref) -> None:
        for held in self._held:
            free(held)


def alive(number: int) -> torch.UntypedStorage | None:
    """The storage of a number that is kept, None where nothing holds it any more."""
    found: Any = torch.UntypedStorage._new_with_weak_ptr(number)
    storage: torch.UntypedStorage | None = found
    return storage


class View(NamedTuple):
    """Which elements, each of ``length`` bytes, of a memory of so many ``bytes`` a tensor shows."""

    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int
    length: int
    bytes: int
    device: torch.device

    def of(self, mask: Tensor) -> Tensor:
        """The same elements of a mask over all of the memory."""
        return mask.as_strided(self.shape, self.strides, self.offset)

    def nothing(self) -> Tensor:
        """A mask over all of the memory, of which nothing is marked."""
        count = self.bytes // max(self.length, 1)
        return torch.zeros(count, dtype=torch.bool, device=self.device)


def view_of(tensor: Tensor) -> View:
    """What the tensor shows of its memory."""
    return View(
        tuple(tensor.shape),
        tensor.stride(),
        int(tensor.storage_offset()),
        tensor.element_size(),
        tensor.untyped_storage().nbytes(),
        tensor.device,
    )
