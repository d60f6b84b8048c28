"""Records every write to memory while it is active, with who wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_initcheck.ledger.events import SIMPLE, WriteEvent
from pytest_initcheck.ledger.frames import note_caller
from pytest_initcheck.ledger.operators import Effect, effect
from pytest_initcheck.ledger.storages import PARTS, Memory, Numbers, key_of
from pytest_initcheck.ranks.dtensors import local

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]
_NO_KEYWORDS: Keywords = {}
# They hand values on as they are, so that whoever wrote them has written what they make.
_CARRYING = frozenset({"_to_copy", "clone", "detach_copy"})


class Recorder(TorchDispatchMode):
    """``memories`` by the number of their storage; see `key_of`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memories: dict[int, Memory] = {}
        self.numbers = Numbers()
        self._count = 0
        self._call: FrameType | None = None

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Torch would import its compiler, and step around it at every operator, for what is not
        # compiled here.
        return False

    def __exit__(self, *raised: Any) -> None:
        """Let go of the call that was last seen, and of what it holds."""
        self._call = None
        super().__exit__(*raised)  # type: ignore[no-untyped-call]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        """Run the operator, and note what it did to memory."""
        out = func(*args, **kwargs) if kwargs else func(*args)
        does = effect(func)
        if does.is_view:
            return out
        kwargs = kwargs or _NO_KEYWORDS
        frame = sys._getframe(1)
        if does.written:
            for place, name in does.written:
                given = args[place] if place < len(args) else kwargs.get(name)
                if isinstance(given, Tensor):
                    self._note(does, given, args, kwargs, frame)
                else:
                    for tensor in _tensors((given,)):
                        self._note(does, tensor, args, kwargs, frame)
        elif isinstance(out, Tensor):
            self._make(does, out, args, kwargs, frame)
        else:
            for made in _tensors((out,)):
                self._make(does, made, args, kwargs, frame)
        return out

    def keep(self, key: int, tensor: Tensor) -> None:
        """Let the number of a tensor's storage not be given to another while this is there."""
        if key and key not in self.memories:
            self.numbers.keep(local(tensor).untyped_storage())

    def _begin(self, key: int, tensor: Tensor, *, is_written: bool, is_known: bool) -> Memory:
        storage = local(tensor).untyped_storage()
        if key not in self.memories:
            self.numbers.keep(storage)
        memory = self.memories[key] = Memory(storage.nbytes(), is_written, is_known)
        return memory

    def _make(
        self, does: Effect, made: Tensor, args: Arguments, kwargs: Keywords, frame: FrameType
    ) -> None:
        key = key_of(made)
        if not key:
            return
        memory = self._begin(key, made, is_written=not does.is_empty, is_known=True)
        if does.is_empty:
            return
        before: list[Memory] = []
        origins = self._sources(does, args, kwargs) if does.reads else []
        if origins:
            memory.sources = frozenset([source for source, _ in origins])
            memory.is_written = not any(_is_garbage(origin) for _, origin in origins)
            before = [origin for _, origin in origins if origin.writes]
        if does.name in _CARRYING and len(before) == 1:
            memory.writes = list(before[0].writes)
            return
        event = self._event(does, args, kwargs, key, made, frame)
        _inherit(event, before)
        if len(before) == 1:
            chain = f"{before[0].writes[-1].call} → {event.call}"
            if event.inner[0] == event.call:
                event.inner = chain, event.arguments
            event.call = chain
        memory.writes.append(event)

    def _note(
        self, does: Effect, tensor: Tensor, args: Arguments, kwargs: Keywords, frame: FrameType
    ) -> None:
        key = key_of(tensor)
        size = tensor.nbytes if key else 0
        if not size:
            return
        memory = self.memories.get(key)
        if memory is None:
            memory = self._begin(key, tensor, is_written=True, is_known=False)
        elif does.name == "set_":
            # It shows the memory of another tensor, whose writes are known.
            return
        event = self._event(does, args, kwargs, key, tensor, frame)
        event.replaces = does.replaces
        if size < memory.bytes:
            event.share = size / memory.bytes
        before: list[Memory] = []
        if does.reads:
            origins = [pair for pair in self._sources(does, args, kwargs) if pair[0] != key]
            memory.sources |= {source for source, _ in origins}
            before = [origin for _, origin in origins]
            _inherit(event, before)
            if does.replaces and _reads_itself(key, args, kwargs):
                _inherit(event, [memory])
                event.replaces = event.share < 1
            elif does.name == "copy_" and event.share >= 1 and len(before) == 1:
                writes = before[0].writes
                event.copied = (writes[-1].copied or writes[-1].order) if writes else 0
        if before and does.replaces and any(_is_garbage(origin) for origin in before):
            memory.spoil(event.share)
        elif does.replaces and not memory.is_written:
            memory.cover(tensor, event.share)
        elif _chooses(does, kwargs) and not (memory.is_written or any(map(_is_garbage, before))):
            memory.cover_part(tensor, does.name, args)
        _append(memory, event)

    def _event(
        self,
        does: Effect,
        args: Arguments,
        kwargs: Keywords,
        key: int,
        tensor: Tensor,
        frame: FrameType,
    ) -> WriteEvent:
        """Who wrote, and what the operator itself says of random numbers."""
        self._count += 1
        own = [pair for pair in zip(does.arguments, args, strict=False) if type(pair[1]) in SIMPLE]
        event = WriteEvent(does.name, self._count)
        call = note_caller(event, key, tensor, [*own, *kwargs.items()] if kwargs else own, frame)
        if call is not None:
            # It is held until the next one, so that its number is not given again in between.
            event.goes_on = call is self._call
            self._call = call
        if does.draws or does.discrete:
            event.draws, event.discrete = does.draws, does.discrete
        return event

    def _sources(self, does: Effect, args: Arguments, kwargs: Keywords) -> list[tuple[int, Memory]]:
        found = {key_of(tensor) for tensor in _tensors((*args, *kwargs.values()))}
        return [(key, self.memories[key]) for key in found if key in self.memories]


def _chooses(does: Effect, kwargs: Keywords) -> bool:
    """Whether an operator writes to elements that it is given; a reduction reads them, too."""
    return does.name in PARTS and "reduce" not in kwargs


def _reads_itself(key: int, args: Arguments, kwargs: Keywords) -> bool:
    """Whether the memory that is written to is read as well, as by out=w of torch.add(w, 1)."""
    return sum(key_of(tensor) == key for tensor in _tensors((*args, *kwargs.values()))) > 1


def _inherit(event: WriteEvent, origins: list[Memory]) -> None:
    """Whether random numbers went into it by what it was made of, and few different ones."""
    for origin in origins:
        for write in origin.writes:
            event.draws = event.draws or write.draws
            event.discrete = event.discrete or write.discrete


def _append(memory: Memory, event: WriteEvent) -> None:
    """One initialiser may take several operators: they are one write."""
    last = memory.writes[-1] if memory.writes else None
    frame = event.frame
    if last is not None and frame and frame == memory.frame and not _begins_anew(last, event):
        if event.replaces and event.draws:
            last.inner, last.steps, last.law = event.inner, (), event.law
        elif event.inner[0] != last.inner[0]:
            last.steps = (*last.steps, event.inner[0])
        last.copied = event.copied if event.replaces else 0
        last.share = max(last.share, event.share)
        last.replaces = last.replaces or event.replaces
        last.draws = last.draws or event.draws
        last.discrete = last.discrete or event.discrete
    else:
        memory.writes.append(event)
    memory.frame = frame


def _begins_anew(last: WriteEvent, event: WriteEvent) -> bool:
    if (last.call, last.code, last.line) != (event.call, event.code, event.line):
        return True
    # The number of a frame is given again: the same initialiser, called again, draws again. One
    # that draws until all values lie within bounds is called once.
    is_same_call = event.goes_on and event.share >= last.share
    return not is_same_call and last.replaces and event.replaces and last.draws and event.draws


def _is_garbage(memory: Memory) -> bool:
    return not memory.is_written and memory.mask is None


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments or results, and in lists of such, as they are stored here."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(local(value))
        elif isinstance(value, (list, tuple)):
            found += [local(item) for item in value if isinstance(item, Tensor)]
    return found
