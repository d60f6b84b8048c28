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
from pytest_initcheck.ledger.unseen import mark, trace_of
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
        self.count = 0
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
            for place, name in () if _is_at_rest(does, args) else does.written:
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
            memory.is_marked = mark(local(made))
            return
        before: list[Memory] = []
        origins = self._sources(args, kwargs) if does.reads else []
        if origins:
            memory.sources = frozenset([source.key for source in origins])
            memory.is_written = not any(_is_garbage(source.memory) for source in origins)
            before = [source.memory for source in origins if source.memory.writes]
        memory.trace = trace_of(made)
        if does.name in _CARRYING and len(before) == 1 and not origins[0].is_set:
            memory.writes = list(before[0].writes)
            return
        event = self._event(does, args, kwargs, key, made, frame)
        _inherit(event, origins)
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
        memory.trace = () if does.is_later else trace_of(tensor)
        if size < memory.bytes:
            event.share = size / memory.bytes
        before: list[Memory] = []
        if does.reads:
            sources = self._sources(args, kwargs)
            origins = [source for source in sources if source.key != key]
            memory.sources |= {source.key for source in origins}
            before = [source.memory for source in origins]
            _inherit(event, origins)
            if does.replaces and _reads_itself(key, args, kwargs):
                _inherit(event, sources)
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
        elif does.name == "resize_":
            memory.grow(tensor)
        elif not memory.is_written:
            # What is computed of marks is none.
            memory.is_marked = False
        if event.replaces and not event.draws:
            memory.patched = 0 if event.share >= 1 else memory.patched + size
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
        self.count += 1
        own = [pair for pair in zip(does.arguments, args, strict=False) if type(pair[1]) in SIMPLE]
        event = WriteEvent(does.name, self.count)
        call = note_caller(event, key, tensor, [*own, *kwargs.items()] if kwargs else own, frame)
        if call is not None:
            # It is held until the next one, so that its number is not given again in between.
            event.goes_on = call is self._call
            self._call = call
        if does.draws or does.discrete:
            event.draws, event.discrete = does.draws, does.discrete
        return event

    def _sources(self, args: Arguments, kwargs: Keywords) -> list[_Source]:
        sizes: dict[int, int] = {}
        for tensor in _tensors((*args, *kwargs.values())):
            key = key_of(tensor)
            if key in self.memories:
                sizes[key] = max(sizes.get(key, 0), tensor.nbytes)
        return [_Source(key, self.memories[key], size) for key, size in sizes.items()]


class _Source:
    """A memory that is read, and whether what is read of it may be what was ``is_set`` there, after
    the draw."""

    __slots__ = ("is_set", "key", "memory")

    def __init__(self, key: int, memory: Memory, size: int) -> None:
        self.key, self.memory = key, memory
        self.is_set = 0 < size <= memory.patched


def _chooses(does: Effect, kwargs: Keywords) -> bool:
    """Whether an operator writes to elements that it is given; a reduction reads them, too."""
    return does.name in PARTS and "reduce" not in kwargs


def _is_at_rest(does: Effect, args: Arguments) -> bool:
    """Whether a normalisation leaves its running statistics alone, as it does in evaluation."""
    return 0 <= does.training < len(args) and not args[does.training]


def _reads_itself(key: int, args: Arguments, kwargs: Keywords) -> bool:
    """Whether the memory that is written to is read as well, as by out=w of torch.add(w, 1)."""
    return sum(key_of(tensor) == key for tensor in _tensors((*args, *kwargs.values()))) > 1


def _inherit(event: WriteEvent, origins: list[_Source]) -> None:
    """Whether random numbers went into it by what it was made of, and few different ones."""
    for origin in origins:
        for write in () if origin.is_set else origin.memory.writes:
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
