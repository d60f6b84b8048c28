"""A model built while every write to its parameters and buffers is recorded."""

from __future__ import annotations

import contextlib
import inspect
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.nn.parameter import is_lazy

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence.construction import Built, ConstructionFacts, Write
from pytest_initcheck.ledger.draws import with_draws
from pytest_initcheck.ledger.recorder import Recorder
from pytest_initcheck.ledger.storages import Memory, key_of
from pytest_initcheck.ranks.dtensors import local

Places = weakref.WeakKeyDictionary[nn.Module, dict[str, list[int]]]


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
    found = list(_built(model, recorder.memories, places))
    return model, ConstructionFacts(tensors=tuple(with_draws(found, model)))


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
    places: Places = weakref.WeakKeyDictionary()

    def note(module: nn.Module, name: str, tensor: Tensor | None) -> None:
        if tensor is not None:
            places.setdefault(module, {}).setdefault(name, []).append(key_of(tensor))

    handles = [
        hooks.register_module_parameter_registration_hook(note),
        hooks.register_module_buffer_registration_hook(note),
    ]
    try:
        yield places
    finally:
        for handle in handles:
            handle.remove()


def _built(model: nn.Module, memories: dict[int, Memory], places: Places) -> Iterator[Built]:
    held = {key_of(tensor) for _, _, _, tensor, _ in _tensors(model)}
    lost = _lost(memories, held)
    for layer, module, name, tensor, kind in _tensors(model):
        key = key_of(tensor)
        memory = memories.get(key)
        before = places.get(module, {}).get(name, [])
        yield Built(
            name=f"{layer}.{name}" if layer else name,
            layer=layer,
            kind="parameter" if kind else "buffer",
            shape=() if is_lazy(tensor) else tuple(tensor.shape),
            dtype=str(tensor.dtype).removeprefix("torch."),
            trainable=bool(kind and tensor.requires_grad),
            persistent=name not in module._non_persistent_buffers_set,
            writes=tuple(memory.writes) if memory else (),
            unwritten=memory.unwritten(local(tensor)) if memory and not tensor.is_meta else 0.0,
            lost=tuple(lost.get(key, ())),
            replaced=tuple(_replaced(before, memories, held)),
            is_known=memory is not None
            and memory.is_known
            and not tensor.is_meta
            and not is_lazy(tensor),
        )


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
                found.setdefault(source, []).extend(draws)
    return found


def _replaced(before: list[int], memories: dict[int, Memory], held: set[int]) -> Iterator[Write]:
    for key in dict.fromkeys(before):
        if key not in held and key in memories:
            yield from memories[key].writes[-1:]
