"""What the noted writes did to memories: covered, spoilt, drawn, handed on."""

from __future__ import annotations

from collections.abc import Iterable

from pytest_initcheck.ledger.events import WriteEvent
from pytest_initcheck.ledger.memories import Memory

# They hand values on as they are, so that whoever wrote them has written what they make.
_CARRYING = frozenset({"_to_copy", "clone", "detach_copy"})


class Replay:
    """``memories`` by the number of their storage (see `key_of`); ``count`` of writes so far."""

    def __init__(self) -> None:
        self.memories: dict[int, Memory] = {}
        self.count = 0

    def run(self, events: Iterable[WriteEvent]) -> None:
        """What follows from further events."""
        for event in events:
            if not event.is_made:
                self._wrote(event)
            elif event.does.is_empty:
                memory = self.memories[event.key] = Memory(event.bytes, is_written=False)
                memory.is_marked = event.is_marked
            else:
                self._made(event)

    def _made(self, event: WriteEvent) -> None:
        # What an operator hands back may be the memory that it was given.
        origins = self._sources(event) if event.reads else []
        memory = self.memories[event.key] = Memory(event.bytes)
        before: list[Memory] = []
        if origins:
            memory.sources = frozenset([source.key for source in origins])
            memory.is_written = not any(_is_garbage(source.memory) for source in origins)
            before = [source.memory for source in origins if source.memory.writes]
        memory.trace = event.trace
        if event.does.name in _CARRYING and len(before) == 1 and not origins[0].is_set:
            memory.writes = list(before[0].writes)
            return
        self._count(event)
        _inherit(event, origins)
        if len(before) == 1:
            chain = f"{before[0].writes[-1].call} → {event.call}"
            if event.inner[0] == event.call:
                event.inner = chain, event.arguments or ()
            event.call = chain
        memory.writes.append(event)

    def _wrote(self, event: WriteEvent) -> None:
        key, does = event.key, event.does
        memory = self.memories.get(key)
        if memory is None:
            memory = self.memories[key] = Memory(event.bytes, is_known=False)
        elif does.name == "set_":
            # It shows the memory of another tensor, whose writes are known.
            return
        self._count(event)
        memory.trace = event.trace
        if event.size < memory.bytes:
            event.share = event.size / memory.bytes
        before = self._read(event, memory) if event.reads else []
        if not memory.is_written or before or event.view is not None:
            _cover(memory, event, before)
        if event.replaces and not event.draws:
            memory.patched = 0 if event.share >= 1 else memory.patched + event.size
        _append(memory, event)

    def _count(self, event: WriteEvent) -> None:
        self.count += 1
        event.order = self.count

    def _read(self, event: WriteEvent, memory: Memory) -> list[Memory]:
        """The other memories that it was written from."""
        key = event.key
        sources = self._sources(event)
        origins = [source for source in sources if source.key != key]
        memory.sources |= {source.key for source in origins}
        before = [source.memory for source in origins]
        _inherit(event, origins)
        if event.replaces and sum(number == key for number, _ in event.reads) > 1:
            # Read where it is written, as by out=w of torch.add(w, 1).
            _inherit(event, sources)
            event.replaces = event.share < 1
        elif event.does.name == "copy_" and event.share >= 1 and len(before) == 1:
            writes = before[0].writes
            event.copied = (writes[-1].copied or writes[-1].order) if writes else 0
        return before

    def _sources(self, event: WriteEvent) -> list[_Source]:
        sizes: dict[int, int] = {}
        for key, size in event.reads:
            if key in self.memories:
                sizes[key] = max(sizes.get(key, 0), size)
        return [_Source(key, self.memories[key], size) for key, size in sizes.items()]


class _Source:
    """A memory that is read, and whether what is read of it may be what was ``is_set`` there, after
    the draw."""

    __slots__ = ("is_set", "key", "memory")

    def __init__(self, key: int, memory: Memory, size: int) -> None:
        self.key, self.memory = key, memory
        self.is_set = 0 < size <= memory.patched


def _cover(memory: Memory, event: WriteEvent, before: list[Memory]) -> None:
    """Which elements have been written by now, given what they were written from."""
    does, view = event.does, event.view
    is_garbage = any(map(_is_garbage, before))
    if is_garbage and does.replaces:
        memory.spoil(event.share)
    elif does.replaces and not memory.is_written:
        memory.cover(view, event.share)
    elif view and event.chosen_by and not (memory.is_written or is_garbage):
        memory.cover_part(view, does.name, event.chosen_by)
    elif view and does.name == "resize_":
        memory.grow(view)
    elif not memory.is_written:
        # What is computed of marks is none.
        memory.is_marked = False
    event.chosen_by = ()


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
