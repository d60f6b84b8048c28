"""Notes every write to memory while it is active, with who wrote; `replay` makes sense of it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FrameType
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from pytest_initcheck.ledger.events import SIMPLE, WriteEvent
from pytest_initcheck.ledger.frames import note_caller
from pytest_initcheck.ledger.memories import PARTS
from pytest_initcheck.ledger.operators import Effect, effect
from pytest_initcheck.ledger.replay import Replay
from pytest_initcheck.ledger.storages import Numbers, alive, key_of, storage_of, view_of
from pytest_initcheck.ledger.unseen import Saved, mark, put_back, trace_of
from pytest_initcheck.ranks.dtensors import local

Arguments = tuple[Any, ...]
Keywords = Mapping[str, Any]
_NO_KEYWORDS: Keywords = {}
# What they do depends on which elements the tensor shows, even where it shows them all.
_BY_ELEMENT = frozenset({*PARTS, "resize_"})


class Recorder(TorchDispatchMode):
    """While it is active it takes notes alone; `settle` then tells what became of each memory."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = Numbers()
        self._replay = Replay()
        self._noted: list[WriteEvent] = []
        # What lay in the memory that holds marks still, by its number.
        self._marked: dict[int, Saved] = {}
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
                    self._wrote(does, given, args, kwargs, frame)
                else:
                    for tensor in _tensors((given,)):
                        self._wrote(does, tensor, args, kwargs, frame)
        elif isinstance(out, Tensor):
            self._made(does, out, args, kwargs, frame)
        else:
            for tensor in _tensors((out,)):
                self._made(does, tensor, args, kwargs, frame)
        return out

    def settle(self) -> Replay:
        """What all that was noted did to the memories, in order."""
        self._replay.run(self._noted)
        self._noted.clear()
        return self._replay

    @property
    def has_marks(self) -> bool:
        """Whether memory that was made without values, and is there still, may hold the mark."""
        for key in [key for key in self._marked if alive(key) is None]:
            del self._marked[key]
        return bool(self._marked)

    def put_back(self) -> None:
        """Let memory that nothing wrote to hold what it held before it was marked."""
        memories = self.settle().memories if self._marked else {}
        for key, saved in self._marked.items():
            storage, memory = alive(key), memories[key]
            if storage is not None and not memory.is_written:
                put_back(storage, saved, memory.mask)
        self._marked.clear()

    def _made(
        self, does: Effect, tensor: Tensor, args: Arguments, kwargs: Keywords, frame: FrameType
    ) -> None:
        storage = storage_of(tensor)
        if storage is None:
            return
        event = WriteEvent(does.name)
        event.does, event.is_made = does, True
        key = event.key = self.numbers.keep(storage)
        event.bytes = storage.nbytes()
        if does.is_empty:
            saved = mark(local(tensor), storage)
            if saved is not None:
                event.is_marked = True
                self._marked[key] = saved
        else:
            self._who(event, tensor, args, kwargs, frame)
            event.trace = trace_of(local(tensor), storage)
        self._noted.append(event)

    def _wrote(
        self, does: Effect, tensor: Tensor, args: Arguments, kwargs: Keywords, frame: FrameType
    ) -> None:
        storage = storage_of(tensor)
        size = tensor.nbytes if storage is not None else 0
        if storage is None or not size:
            return
        event = WriteEvent(does.name)
        event.does, event.size, event.replaces = does, size, does.replaces
        key = event.key = self.numbers.keep(storage)
        bytes_ = event.bytes = storage.nbytes()
        self._who(event, tensor, args, kwargs, frame)
        if not does.is_later:
            event.trace = trace_of(local(tensor), storage)
        self._noted.append(event)
        if size < bytes_ or does.name in _BY_ELEMENT:
            self._in_part(event, tensor, args, kwargs)
        elif does.replaces and key in self._marked and not self._is_marked(event):
            del self._marked[key]

    def _in_part(
        self, event: WriteEvent, tensor: Tensor, args: Arguments, kwargs: Keywords
    ) -> None:
        """It wrote to some elements; a reduction reads them, too."""
        event.view = view_of(local(tensor))
        if event.does.name in PARTS and "reduce" not in kwargs:
            event.chosen_by = args
            # What chose them is not kept.
            self.settle()

    def _is_marked(self, event: WriteEvent) -> bool:
        """Whether what was written comes from memory that holds marks."""
        return any(key in self._marked for key, _ in event.reads if key != event.key)

    def _who(
        self,
        event: WriteEvent,
        tensor: Tensor,
        args: Arguments,
        kwargs: Keywords,
        frame: FrameType,
    ) -> None:
        """Who wrote, from what, and what the operator itself says of random numbers."""
        does = event.does
        call = note_caller(event, tensor, frame)
        if call is not None:
            # It is held until the next one, so that its number is not given again in between.
            event.goes_on = call is self._call
            self._call = call
        if not event.inner[0]:
            own = [
                pair
                for pair in (*zip(does.arguments, args, strict=False), *kwargs.items())
                if type(pair[1]) in SIMPLE
            ]
            event.inner = does.name, own
            if event.arguments is None:
                event.arguments = own
        if does.draws or does.discrete:
            event.draws, event.discrete = does.draws, does.discrete
        if does.reads:
            event.reads = [
                (key, read.nbytes)
                for read in _tensors((*args, *kwargs.values()))
                if (key := key_of(read))
            ]


def _is_at_rest(does: Effect, args: Arguments) -> bool:
    """Whether a normalisation leaves its running statistics alone, as it does in evaluation."""
    return 0 <= does.training < len(args) and not args[does.training]


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments or results, and in lists of such, as they are stored here."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(local(value))
        elif isinstance(value, (list, tuple)):
            found += [local(item) for item in value if isinstance(item, Tensor)]
    return found
