"""What a ledger says of the model that was built: each parameter and buffer with its writes."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.evidence.construction import Built, ConstructionFacts, Draw
from pytest_initcheck.evidence.write import Write, in_effect
from pytest_initcheck.ledger.connections import fans_of
from pytest_initcheck.ledger.draws import draws_of, twins_of
from pytest_initcheck.ledger.events import WriteEvent
from pytest_initcheck.ledger.memories import Memory
from pytest_initcheck.ledger.odd_buffers import buffer_role, odd_buffers
from pytest_initcheck.ledger.replay import Replay
from pytest_initcheck.ledger.storages import key_of
from pytest_initcheck.ranks.dtensors import local

# A module, the name of a parameter or buffer of it, and the number of the memory put there.
Registration = tuple[weakref.ref[nn.Module], str, int]
Places = dict[tuple[int, str], list[int]]


def facts_of(model: nn.Module, replay: Replay, registered: list[Registration]) -> ConstructionFacts:
    """How the tensors of the model came to their values."""
    tensors = tuple(_built(model, replay, _places(registered)))
    return ConstructionFacts(tensors=tensors, odd_buffers=odd_buffers(model))


def _places(registered: list[Registration]) -> Places:
    """The memories that have stood at each place of each module that is there still."""
    places: Places = {}
    for held, name, key in registered:
        module = held()
        if module is not None:
            places.setdefault((id(module), name), []).append(key)
    return places


@dataclass(slots=True, kw_only=True)
class _Held:
    """A parameter or buffer of the model, with the ``memory`` that it shows where that is known."""

    layer: str
    module: nn.Module
    name: str
    tensor: Tensor
    is_parameter: bool
    key: int
    memory: Memory | None
    writes: tuple[Write, ...]
    has_values: bool
    full_name: str

    def built(self, draw: Draw | None, **more: Any) -> Built:
        """All that follows from the tensor itself, and what else is known."""
        memory, tensor, module = self.memory, self.tensor, self.module
        is_weight = self.is_parameter and self.name == "weight" and self.has_values
        is_buffer = self.has_values and not self.is_parameter
        return Built(
            name=self.full_name,
            layer=self.layer,
            kind="parameter" if self.is_parameter else "buffer",
            shape=tuple(tensor.shape) if self.has_values or not is_lazy(tensor) else (),
            dtype=_dtype(tensor.dtype),
            trainable=self.is_parameter and tensor.requires_grad,
            persistent=self.name not in module._non_persistent_buffers_set,
            writes=self.writes,
            unwritten=memory.unwritten(local(tensor)) if memory and self.has_values else 0.0,
            is_known=memory is not None and memory.is_known and self.has_values,
            role=buffer_role(self.name, tensor) if is_buffer else "",
            fans=fans_of(module) if is_weight else None,
            draw=draw,
            **more,
        )


def _built(model: nn.Module, replay: Replay, places: Places) -> Iterator[Built]:
    memories = replay.memories
    found = list(_held(model, replay))
    numbers = {held.key for held in found}
    lost = _lost(memories, numbers)
    draws, twins = _draws(found)
    for place, held in enumerate(found):
        more: dict[str, Any] = {}
        before = places.get((id(held.module), held.name), ())
        gone = [key for key in before if key not in numbers]
        if gone:
            more["replaced"] = tuple(_replaced(gone, memories))
            more["had_values"] = any(_had_values(key, memories) for key in gone)
        if held.key in lost:
            more["lost"] = tuple(lost[held.key])
        if held.full_name in twins:
            more["twins"] = twins[held.full_name]
        yield held.built(draws.get(place), **more)


def _held(model: nn.Module, replay: Replay) -> Iterator[_Held]:
    for layer, module, name, tensor, is_parameter in _tensors(model):
        key = key_of(tensor)
        memory = replay.memories.get(key)
        if memory:
            memory.tell_unseen(local(tensor), replay.count + 1)
        yield _Held(
            layer=layer,
            module=module,
            name=name,
            tensor=tensor,
            is_parameter=is_parameter,
            key=key,
            memory=memory,
            writes=tuple([event.write() for event in memory.writes]) if memory else (),
            has_values=not (tensor.is_meta or is_lazy(tensor)),
            full_name=f"{layer}.{name}" if layer else name,
        )


@cache
def _dtype(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _origin(held: _Held) -> int:
    """The order of the write that made the values, or that made those that were copied."""
    last = held.memory.writes[-1] if held.memory else None
    return (last.copied or last.order) if last else 0


def _draws(found: list[_Held]) -> tuple[dict[int, Draw], dict[str, tuple[str, ...]]]:
    """By their place what the values are like into which random numbers went, and by name those
    that hold the same ones."""
    effective = {
        place: in_effect(held.writes) for place, held in enumerate(found) if held.has_values
    }
    drawn = {
        place: local(found[place].tensor).detach()
        for place, writes in effective.items()
        if any(write.draws for write in writes)
    }
    measured = zip(drawn, draws_of(list(drawn.values())), strict=True)
    draws = {place: draw for place, draw in measured if draw is not None}
    names = {found[place].full_name: drawn[place] for place in draws}
    orders = {found[place].full_name: _origin(found[place]) for place in draws}
    return draws, twins_of(names, orders)


def _had_values(key: int, memories: dict[int, Memory]) -> bool:
    """Of what stood at a place; what torch.tensor makes on the meta device passes no dispatcher."""
    return key not in memories or bool(memories[key].writes)


def _tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, str, Tensor, bool]]:
    """Every parameter and buffer once, at the first of its places."""
    seen: set[int] = set()
    for layer, module in model.named_modules():
        for tensors, kind in ((module._parameters, True), (module._buffers, False)):
            for name, tensor in tensors.items():
                if tensor is not None and id(tensor) not in seen:
                    seen.add(id(tensor))
                    yield layer, module, name, tensor, kind


def _lost(memories: dict[int, Memory], held: set[int]) -> dict[int, list[Write]]:
    """Draws into what was computed from a tensor of the model and then reached none of them."""
    useful = set(held)
    waiting = list(held)
    while waiting:
        memory = memories.get(waiting.pop())
        fresh = (memory.sources if memory else set()) - useful
        useful |= fresh
        waiting += fresh
    # What is copied from the model, as to memory that processes share, was not drawn for it.
    orders = {w.order for key in held if key in memories for w in memories[key].writes}
    found: dict[int, list[Write]] = {}
    for key, memory in memories.items():
        later = memory.writes[1:]
        draws = [w for w in later if _is_own_draw(w) and w.copied not in orders]
        if key not in useful and draws:
            for source in memory.sources & held:
                found.setdefault(source, []).extend(event.write() for event in draws)
    return found


def _is_own_draw(write: WriteEvent) -> bool:
    return write.replaces and write.draws and not write.is_default


def _replaced(gone: list[int], memories: dict[int, Memory]) -> Iterator[Write]:
    for key in dict.fromkeys(gone):
        if key in memories:
            yield from (event.write() for event in memories[key].writes[-1:])
