"""The memory behind tensors: which it is, and which of its elements have been written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.evidence.write import UNSEEN
from pytest_initcheck.ledger.events import WriteEvent
from pytest_initcheck.ledger.unseen import Trace, changed, unmarked
from pytest_initcheck.ranks.dtensors import local


def key_of(tensor: Tensor) -> int:
    """A number that two tensors share where they share memory; 0 where it cannot be told."""
    try:
        kind = type(tensor)
        held = tensor if kind is Tensor or kind is nn.Parameter else local(tensor)
        number: int = held.untyped_storage()._cdata
        return number
    except (NotImplementedError, RuntimeError, AttributeError, ValueError):
        # Wrapper subclasses, sparse tensors and lazy parameters have no memory of their own.
        return 0


class Numbers:
    """Keeps the numbers of storages, but not their memory, from being given again."""

    def __init__(self) -> None:
        self._held: list[int] = []

    def keep(self, storage: torch.UntypedStorage) -> None:
        """Until this goes away. A weak reference of Python to each would take four times as long,
        once more when it is given back."""
        held: Any = storage._weak_ref()
        self._held.append(held)

    # The argument outlives the module torch, which is taken down before the last objects are.
    def __del__(self, free: Callable[..., Any] = torch.UntypedStorage._free_weak_ref) -> None:
        for held in self._held:
            free(held)


def _put(view: Tensor, args: Sequence[Any]) -> None:
    # What is added to garbage is garbage.
    if not (len(args) > 3 and args[3]):
        torch.ops.aten.index_put_(
            view, args[1], torch.ones((), dtype=torch.bool, device=view.device)
        )


# Operators that write to elements that another argument chooses: each done to a mask.
PARTS: dict[str, Callable[[Tensor, Sequence[Any]], object]] = {
    "index_put_": _put,
    "masked_fill_": lambda view, args: view.masked_fill_(args[1], True),
    "masked_scatter_": lambda view, args: view.masked_fill_(args[1], True),
    "index_fill_": lambda view, args: view.index_fill_(args[1], args[2], True),
    "index_copy_": lambda view, args: view.index_fill_(args[1], args[2], True),
    "scatter_": lambda view, args: view.scatter_(args[1], args[2], True),
}


@dataclass(slots=True)
class Memory:
    """One storage while a model is built, of so many ``bytes``.

    ``sources`` are the numbers of those that it was computed from; ``is_known`` is False where it
    was made before, or beside, what is recorded. ``is_marked`` and ``trace`` are of `unseen`: what
    nothing wrote to holds the mark, and what the last write left; ``unseen`` is the share of what
    no operator wrote that something else did. ``patched`` are the bytes of the parts that were set
    since it was last written whole, and not drawn.
    """

    bytes: int = 0
    is_written: bool = True
    is_known: bool = True
    writes: list[WriteEvent] = field(default_factory=list)
    sources: frozenset[int] = frozenset()
    frame: int = 0
    mask: Tensor | None = None
    is_marked: bool = False
    trace: Trace = ()
    patched: int = 0
    unseen: float = 0.0

    def cover(self, tensor: Tensor, share: float) -> None:
        """What the view, such a share of the memory, shows has been written."""
        if self.is_written or not tensor.numel():
            return
        if share >= 1:
            self.is_written = True
            return
        self._note(tensor, lambda view: view.fill_(True))

    def grow(self, tensor: Tensor) -> None:
        """The memory has become larger than it was: what was added holds nothing."""
        size = tensor.untyped_storage().nbytes()
        if size > self.bytes:
            before, known = self.mask, self.bytes // tensor.element_size()
            self.mask = torch.zeros(_elements(tensor), dtype=torch.bool, device=tensor.device)
            self.mask[:known] = before[:known] if before is not None else self.is_written
            self.bytes, self.is_written, self.is_marked = size, False, False

    def tell_unseen(self, tensor: Tensor, order: int) -> None:
        """Add what was written to it past torch, as the last of its writes."""
        if self.is_marked and not self.is_written:
            share = self._unseen(tensor)
        else:
            share = changed(self.trace, tensor)
            self.is_written |= share >= 1
        self.is_marked, self.trace = False, ()
        if share:
            event = WriteEvent(UNSEEN, order)
            event.share = share
            self.writes.append(event)

    def _unseen(self, tensor: Tensor) -> float:
        """The share of it that something else wrote; what did so is no garbage."""
        look = unmarked(tensor, self.mask)
        if not bool(look.is_written.any()):
            return 0.0
        free = 1.0 if self.mask is None else 1 - float(self.mask.float().mean())
        share = float(look.is_written.float().mean())
        if share >= 1:
            self.is_written = True
        elif look.is_whole:
            if self.mask is None:
                self.mask = torch.zeros(_elements(tensor), dtype=torch.bool)
            self.mask[look.elements[look.is_written]] = True
        else:
            self.unseen = share
        return share * free

    def cover_part(self, tensor: Tensor, name: str, args: Sequence[Any]) -> None:
        """Those elements of the view have been written that one of `PARTS` chooses."""
        if not tensor.is_meta:
            self._note(tensor, lambda view: PARTS[name](view, args))

    def _note(self, tensor: Tensor, mark: Callable[[Tensor], object]) -> None:
        if self.mask is None:
            self.mask = torch.zeros(_elements(tensor), dtype=torch.bool, device=tensor.device)
        mark(self.mask.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset()))
        self.is_written = bool(self.mask.all())

    def spoil(self, share: float) -> None:
        """A view, such a share of the memory, was overwritten by what nothing wrote to."""
        if share >= 1:
            self.is_written, self.mask, self.is_marked = False, None, False

    def unwritten(self, tensor: Tensor) -> float:
        """The share of a view's elements that nothing wrote to."""
        if self.is_written or not tensor.numel():
            return 0.0
        seen = 1.0 - self.unseen
        if self.mask is None:
            return seen
        view = self.mask.as_strided(tensor.size(), tensor.stride(), tensor.storage_offset())
        return (1.0 - float(view.float().mean())) * seen


def _elements(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().nbytes()) // max(tensor.element_size(), 1)
