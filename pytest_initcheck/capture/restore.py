"""Puts a model, its gradients, hooks and every random stream back as they were, bit for bit."""

from __future__ import annotations

import random
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from pytest_initcheck.capture.randomness import Undo, put_back, remembered
from pytest_initcheck.capture.shared_copy import shared_copy, unwritten

_DEPTH = 6
_CONTAINERS = frozenset({dict, OrderedDict, list, set, deque})
UNCHANGING = frozenset({bool, int, float, complex, str, bytes, type(None)})


class Saved:
    """What was saved, to be put back as often as it is needed."""

    def __init__(self, undo: list[Undo]) -> None:
        self._undo = undo

    def put_back(self) -> None:
        """Put everything back to where it was when it was saved."""
        put_back(reversed(self._undo))


@contextmanager
def preserved(*objects: object, is_unwritten: bool = False) -> Iterator[Saved]:
    """Restore modules, tensors (and random streams) on leaving, also when the body raises.

    Covers parameters, buffers, gradients, modes, ``requires_grad``, hooks, plain attributes and
    the containers, tensors and generators in them. Objects of other classes that a module holds
    are restored by reference only. What is yielded can put all back before that, too. With
    ``is_unwritten`` nobody has written to a tensor since it was saved the last time.
    """
    undo: list[Undo] = []
    seen: set[int] = set()
    saved = Saved(undo)
    try:
        undo.extend(remembered())
        with unwritten() if is_unwritten else nullcontext():
            for item in objects:
                if isinstance(item, nn.Module):
                    for module in item.modules():
                        _save_module(module, undo, seen)
                elif isinstance(item, Tensor):
                    _save(item, undo, seen, _DEPTH)
        yield saved
    finally:
        saved.put_back()


def _save_module(module: nn.Module, undo: list[Undo], seen: set[int]) -> None:
    if id(module) in seen:
        return
    seen.add(id(module))
    attributes = dict(module.__dict__)
    kind = type(module)
    for value in attributes.values():
        if type(value) not in UNCHANGING:
            _save(value, undo, seen, _DEPTH)
    # Scripted modules keep their tensors elsewhere.
    for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
        _save(tensor, undo, seen, _DEPTH)

    def restore() -> None:
        # A lazy module becomes another class on its first forward.
        if type(module) is not kind:
            module.__class__ = kind
        module.__dict__.clear()
        module.__dict__.update(attributes)

    undo.append(restore)


def _save(value: Any, undo: list[Undo], seen: set[int], depth: int) -> None:
    # Most of what there is cannot change, or is an empty list of hooks, and told by its type alone.
    kind = type(value)
    if depth == 0 or kind in UNCHANGING:
        return
    if kind in _CONTAINERS and not value:
        undo.append(value.clear)
        return
    if id(value) in seen:
        return
    if isinstance(value, Tensor):
        seen.add(id(value))
        undo.append(_tensor(value))
    elif isinstance(value, nn.Module):
        # Those in a plain list are no submodules.
        for module in value.modules():
            _save_module(module, undo, seen)
    elif isinstance(value, (dict, list, set, deque)):
        seen.add(id(value))
        undo.append(_container(value))
        for item in list(value.values()) if isinstance(value, dict) else list(value):
            _save(item, undo, seen, depth - 1)
    elif isinstance(value, tuple):
        for item in value:
            _save(item, undo, seen, depth - 1)
    elif isinstance(value, (torch.Generator, random.Random)) or hasattr(value, "bit_generator"):
        undo.append(_generator(value))


def _tensor(tensor: Tensor) -> Undo:
    grad = tensor.grad if tensor.is_leaf else None
    requires_grad = tensor.requires_grad
    hooks = _hooks(tensor)
    is_empty = is_lazy(tensor)
    # The alias keeps the storage itself, so that ties and flattened weights survive.
    alias = None if is_empty else tensor.data
    saved = None if alias is None or alias.is_meta else shared_copy(tensor)
    kind = type(tensor)

    def restore() -> None:
        if alias is None:
            _unmaterialise(tensor, kind)
            return
        tensor.data = alias
        if saved is not None:
            alias.copy_(saved)
        if tensor.is_leaf:
            tensor.requires_grad_(requires_grad)
            tensor.grad = grad
        for holder, content in hooks:
            holder.clear()
            holder.update(content)

    return restore


def _unmaterialise(tensor: Tensor, kind: type[Tensor]) -> None:
    if type(tensor) is not kind:
        tensor.data = torch.empty(0, device=tensor.device, dtype=tensor.dtype)
        tensor.grad = None
        tensor.__class__ = kind


def _hooks(tensor: Tensor) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    names = ("_backward_hooks", "_post_accumulate_grad_hooks")
    holders = (getattr(tensor, name, None) for name in names)
    return [(holder, dict(holder)) for holder in holders if holder is not None]


def _container(value: Any) -> Undo:
    content = value.copy()

    def restore() -> None:
        value.clear()
        (value.update if isinstance(value, (dict, set)) else value.extend)(content)

    return restore


def _generator(value: Any) -> Undo:
    if isinstance(value, torch.Generator):
        state = value.get_state()

        def restore() -> None:
            value.set_state(state)

        return restore
    if isinstance(value, random.Random):
        python = value.getstate()
        return lambda: value.setstate(python)
    numpy_state = value.bit_generator.state
    return lambda: setattr(value.bit_generator, "state", numpy_state)


def clear_gradients(parameters: Iterable[Tensor]) -> None:
    """Drop gradients without touching the tensors that held them."""
    for parameter in parameters:
        parameter.grad = None


def highest(tensors: Iterable[Tensor | None]) -> Tensor | None:
    """The one that lies highest in the memory of the CPU.

    Who holds it while others are dropped keeps the allocator from handing what lies below back to
    the system, which would have to clear each page anew for the next gradients.
    """
    plain = (t for t in tensors if type(t) is Tensor and t.device.type == "cpu")
    return max((t for t in plain if t.layout == torch.strided), key=Tensor.data_ptr, default=None)
