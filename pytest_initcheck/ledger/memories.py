"""Which elements of a memory have been written, and by what."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.evidence.write import UNSEEN
from pytest_initcheck.ledger.events import WriteEvent
from pytest_initcheck.ledger.storages import View, view_of
from pytest_initcheck.ledger.unseen import Trace, changed, unmarked


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

    def cover(self, view: View | None, share: float) -> None:
        """What the view, such a share of the memory, shows has been written."""
        if share >= 1 or view is None:
            self.is_written = True
        elif not self.is_written:
            self._note(view, lambda part: part.fill_(True))

    def grow(self, view: View) -> None:
        """The memory has become larger than it was: what was added holds nothing."""
        if view.bytes > self.bytes:
            before, known = self.mask, self.bytes // view.length
            self.mask = view.nothing()
            self.mask[:known] = before[:known] if before is not None else self.is_written
            self.bytes, self.is_written, self.is_marked = view.bytes, False, False

    def tell_unseen(self, tensor: Tensor, order: int) -> None:
        """Add what was written to it past torch, as the last of its writes."""
        if self.is_marked and not self.is_written:
            share = self._unseen(tensor)
        else:
            share = changed(self.trace, tensor)
            self.is_written |= share >= 1
        self.is_marked, self.trace = False, ()
        if share:
            event = WriteEvent(UNSEEN)
            event.order, event.share = order, share
            self.writes.append(event)

    def _unseen(self, tensor: Tensor) -> float:
        """The share of it that something else wrote; what did so is no garbage."""
        look = unmarked(tensor.untyped_storage(), tensor.element_size(), self.mask)
        if not bool(look.is_written.any()):
            return 0.0
        free = 1.0 if self.mask is None else 1 - float(self.mask.float().mean())
        share = float(look.is_written.float().mean())
        if share >= 1:
            self.is_written = True
        elif look.is_whole:
            if self.mask is None:
                self.mask = view_of(tensor).nothing()
            self.mask[look.elements[look.is_written]] = True
        else:
            self.unseen = share
        return share * free

    def cover_part(self, view: View, name: str, args: Sequence[Any]) -> None:
        """Those elements of the view have been written that one of `PARTS` chooses."""
        if view.device.type != "meta":
            self._note(view, lambda part: PARTS[name](part, args))

    def _note(self, view: View, mark: Callable[[Tensor], object]) -> None:
        if self.mask is None:
            self.mask = view.nothing()
        mark(view.of(self.mask))
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
        view = view_of(tensor).of(self.mask)
        return (1.0 - float(view.float().mean())) * seen
