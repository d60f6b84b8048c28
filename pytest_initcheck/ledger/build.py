"""A model built while every write to its parameters and buffers is recorded."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.modules import module as hooks
from torch.nn.parameter import is_lazy

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.construction import Built, ConstructionFacts
from pytest_initcheck.evidence.write import Write, in_effect
from pytest_initcheck.ledger.connections import fans_of
from pytest_initcheck.ledger.draws import draw_of, twins_of
from pytest_initcheck.ledger.odd_buffers import buffer_role, odd_buffers
from pytest_initcheck.ledger.recorder import Recorder
from pytest_initcheck.ledger.storages import Memory, key_of
from pytest_initcheck.ranks.dtensors import local

# By the number of a module, with the module itself, whose number may be given again.
Places = dict[int, tuple[weakref.ref[nn.Module], dict[str, list[int]]]]


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A ``model`` together with the ledger of how it was built."""

    model: nn.Module = field(repr=False)
    facts: ConstructionFacts = field(repr=False)


def build(factory: Callable[[], Any]) -> tuple[Any, ConstructionFacts]:
    """What ``factory()`` returns, and how the tensors of the model came to their values.

    Nothing is recorded of what is no ``nn.Module``. Whatever the factory raises is raised.

    Raises:
        InitcheckError: the factory cannot be called without arguments.
    """
    _check(factory)
    recorder = Recorder()
    with _places() as places, recorder:
        model = factory()
    if not isinstance(model, nn.Module):
        return model, ConstructionFacts()
    tensors = tuple(_with_twins(list(_built(model, recorder.memories, places))))
    return model, ConstructionFacts(tensors=tensors, odd_buffers=odd_buffers(model))


def built(given: Any) -> tuple[Any, ConstructionFacts | None]:
    """The model that was given, or that what was given builds, and its ledger where there is one.

    What is no factory either passes through, to be refused where models are. Whatever the factory
    raises is raised.

    Raises:
        InitcheckError: the factory cannot be called without arguments.
    """
    model, facts = unpacked(given)
    is_factory = callable(model) and not isinstance(model, nn.Module)
    return build(model) if is_factory else (model, facts)


def unpacked(given: Any) -> tuple[Any, ConstructionFacts | None]:
    """The model of what ``construction`` returned, with its ledger; all else as it is, without."""
    return (given.model, given.facts) if isinstance(given, Recorded) else (given, None)


def _check(factory: Callable[[], Any]) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        # Some callables have none that can be read.
        return
    try:
        signature.bind()
    except TypeError as error:
        name = getattr(factory, "__name__", type(factory).__name__)
        raise InitcheckError(
            f"model is {name}, which cannot be called without arguments ({error}); pass a model, "
            f"or what builds one: lambda: {name}(…)"
        ) from None


@contextlib.contextmanager
def _places() -> Iterator[Places]:
    """The memories that have stood at each place of each module."""
    places: Places = {}
    # So that the number of one that is gone by then is not given to what comes after it.
    alive: list[StorageWeakRef] = []

    def note(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            held = places.get(id(module))
            if held is None or held[0]() is not module:
                held = places[id(module)] = weakref.ref(module), {}
            key = key_of(tensor)
            held[1].setdefault(name, []).append(key)
            if key:
                alive.append(StorageWeakRef(local(tensor).untyped_storage()))

    handles = [
        hooks.register_module_parameter_registration_hook(note),
        hooks.register_module_buffer_registration_hook(note),
    ]
    try:
        yield places
    finally:
        for handle in handles:
            handle.remove()


def _built(
    model: nn.Module, memories: dict[int, Memory], places: Places
) -> Iterator[tuple[Built, Tensor]]:
    found = [(key_of(one[3]), *one) for one in _tensors(model)]
    held = {key for key, *_ in found}
    lost = _lost(memories, held)
    for key, layer, module, name, tensor, kind in found:
        memory = memories.get(key)
        of_module = places.get(id(module))
        before = of_module[1].get(name, []) if of_module else []
        writes = tuple(event.write() for event in memory.writes) if memory else ()
        lazy = is_lazy(tensor)
        has_values = not lazy and not tensor.is_meta
        built = Built(
            name=f"{layer}.{name}" if layer else name,
            layer=layer,
            kind="parameter" if kind else "buffer",
            shape=() if lazy else tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            trainable=bool(kind and tensor.requires_grad),
            persistent=name not in module._non_persistent_buffers_set,
            writes=writes,
            unwritten=memory.unwritten(local(tensor)) if memory and has_values else 0.0,
            lost=tuple(lost.get(key, ())),
            replaced=tuple(_replaced(before, memories, held)) if before != [key] else (),
            is_known=memory is not None and memory.is_known and has_values,
            had_values=any(_had_values(old, memories) for old in before if old not in held),
            role="" if kind or not has_values else buffer_role(name, tensor),
            fans=fans_of(module) if kind and name == "weight" and has_values else None,
            draw=draw_of(local(tensor)) if has_values and _is_drawn(writes) else None,
        )
        yield built, tensor


def _had_values(key: int, memories: dict[int, Memory]) -> bool:
    """Of what stood at a place; what torch.tensor makes on the meta device passes no dispatcher."""
    return key not in memories or bool(memories[key].writes)


def _is_drawn(writes: tuple[Write, ...]) -> bool:
    return any(write.draws for write in in_effect(writes))


def _with_twins(tensors: list[tuple[Built, Tensor]]) -> Iterator[Built]:
    """The same, with the names of those that hold the same values."""
    drawn = {built.name: local(tensor).detach() for built, tensor in tensors if built.draw}
    orders = {b.name: b.effective[-1].order for b, _ in tensors if b.name in drawn}
    twins = twins_of(drawn, orders)
    for built, _ in tensors:
        same = twins.get(built.name)
        yield replace(built, twins=same) if same else built


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
    found: dict[int, list[Write]] = {}
    for key, memory in memories.items():
        later = memory.writes[1:]
        draws = [w for w in later if w.replaces and w.draws and not w.is_default]
        if key not in useful and draws:
            for source in memory.sources & held:
                found.setdefault(source, []).extend(event.write() for event in draws)
    return found


def _replaced(before: list[int], memories: dict[int, Memory], held: set[int]) -> Iterator[Write]:
    for key in dict.fromkeys(before):
        if key not in held and key in memories:
            yield from (event.write() for event in memories[key].writes[-1:])
