"""Records every write to memory while it is active, with who wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_initcheck.evidence.construction import Write
from pytest_initcheck.ledger.frames import Caller, caller, plain
from pytest_initcheck.ledger.operators import Effect, effect
from pytest_initcheck.ledger.storages import Memory, key_of
from pytest_initcheck.ranks.dtensors import local

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]


class Recorder(TorchDispatchMode):
    """``memories`` by the number of their storage; see `key_of`."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.memories: dict[int, Memory] = {}
        self._count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: Keywords | None = None
    ) -> Any:
        """Run the operator, and note what it did to memory."""
        out = func(*args, **(kwargs or {}))
        does = effect(func)
        if does.written:
            self._write(does, args, kwargs or {})
        elif does.makes:
            for made in _tensors((out,)):
                self._make(does, made, args, kwargs or {})
        return out

    def _make(self, does: Effect, made: Tensor, args: Arguments, kwargs: Keywords) -> None:
        key = key_of(made)
        if not key:
            return
        memory = Memory.of(made, is_written=not does.is_empty)
        self.memories[key] = memory
        if does.is_empty:
            return
        origins = self._sources(does, args, kwargs)
        memory.sources = {source for source, _ in origins}
        memory.is_written = not any(_is_garbage(origin) for _, origin in origins)
        before = [origin for _, origin in origins if origin.writes]
        who = caller(made, does.name, lambda: _plain(does, args, kwargs))
        call = who.call if len(before) != 1 else f"{before[0].writes[-1].call} → {who.call}"
        facts = _chance(does, before)
        if does.name in _CARRYING and len(before) == 1:
            memory.writes = list(before[0].writes)
        else:
            memory.writes = [self._told(who, call=call, replaces=True, **facts)]

    def _write(self, does: Effect, args: Arguments, kwargs: Keywords) -> None:
        for place, name in does.written:
            given = kwargs.get(name, args[place] if place < len(args) else None)
            for tensor in _tensors((given,)):
                self._note(does, tensor, args, kwargs)

    def _note(self, does: Effect, tensor: Tensor, args: Arguments, kwargs: Keywords) -> None:
        key = key_of(tensor)
        if not key or not tensor.numel():
            return
        memory = self.memories.get(key)
        if memory is None:
            memory = self.memories[key] = Memory.of(tensor, is_written=True, is_known=False)
        origins = [(k, origin) for k, origin in self._sources(does, args, kwargs) if k != key]
        memory.sources |= {source for source, _ in origins}
        who = caller(tensor, does.name, lambda: _plain(does, args, kwargs))
        facts = _chance(does, [origin for _, origin in origins])
        share = memory.share(tensor)
        write = self._told(who, replaces=does.replaces, share=share, **facts)
        if does.replaces:
            is_garbage = any(_is_garbage(origin) for _, origin in origins)
            (memory.spoil if is_garbage else memory.cover)(tensor)
        _append(memory, write, who.frame)

    def _told(self, who: Caller, *, call: str = "", **facts: Any) -> Write:
        self._count += 1
        return Write(
            call=call or who.call,
            arguments=who.arguments,
            file=who.file,
            line=who.line,
            function=who.function,
            is_default=who.is_default,
            order=self._count,
            **facts,
        )

    def _sources(self, does: Effect, args: Arguments, kwargs: Keywords) -> list[tuple[int, Memory]]:
        if not does.reads:
            return []
        found = {key_of(tensor) for tensor in _tensors((*args, *kwargs.values()))}
        return [(key, self.memories[key]) for key in found if key in self.memories]


# They hand values on as they are, so that whoever wrote them has written what they make.
_CARRYING = frozenset({"_to_copy", "clone", "detach_copy"})


def _append(memory: Memory, write: Write, frame: int) -> None:
    """One initialiser may take several operators: they are one write."""
    last = memory.writes[-1] if memory.writes else None
    if last is not None and frame and frame == memory.frame and not _begins_anew(last, write):
        memory.writes[-1] = replace(
            last,
            share=max(last.share, write.share),
            replaces=last.replaces or write.replaces,
            draws=last.draws or write.draws,
            discrete=last.discrete or write.discrete,
        )
    else:
        memory.writes.append(write)
    memory.frame = frame


def _begins_anew(last: Write, write: Write) -> bool:
    if (last.call, last.file, last.line) != (write.call, write.file, write.line):
        return True
    # The number of a frame is given again: the same initialiser, called again, draws again.
    return last.replaces and write.replaces and last.draws and write.draws


def _chance(does: Effect, origins: list[Memory]) -> dict[str, Any]:
    """Whether random numbers go in, and whether few different ones come out."""
    writes = [write for origin in origins for write in origin.writes]
    return {
        "draws": does.draws or any(write.draws for write in writes),
        "discrete": does.discrete or any(write.discrete for write in writes),
    }


def _is_garbage(memory: Memory) -> bool:
    return not memory.is_written and memory.mask is None


def _plain(does: Effect, args: Arguments, kwargs: Keywords) -> tuple[tuple[str, str], ...]:
    return plain([*zip(does.arguments, args, strict=False), *kwargs.items()])


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments or results, and in lists of such, as they are stored here."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(local(value))
        elif isinstance(value, (list, tuple)):
            found += [local(item) for item in value if isinstance(item, Tensor)]
    return found
