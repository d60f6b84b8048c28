"""Finds the state that a step can reach: closures, objects, globals, generators, iterators."""

from __future__ import annotations

import functools
import itertools
import random
import sys
import types
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

_MOST = 20_000
_DEPTH = 10
# Objects of the test run itself, and locks, files and the like, are not the step's state.
_FOREIGN = {"_pytest", "pytest", "pluggy", "pytest_initcheck", "xdist", "hypothesis"}
_PLAIN = {"types", "argparse", "collections", "functools", "dataclasses"}
_LIBRARIES = {"torch", "numpy", "torchvision", "scipy", "pandas", "matplotlib", *_FOREIGN}
_TORCH = ("torch.optim", "torch.amp", "torch.cuda.amp", "torch.utils.data")
_MODULE_OWN = {"_parameters", "_buffers", "_modules"}


@dataclass(kw_only=True)
class Reach:
    """What can be put back: modules, tensors, containers, cells and globals, by what holds them.

    ``iterators`` names those that go on from call to call, which nothing can put back.
    """

    modules: list[nn.Module] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)
    holders: list[Any] = field(default_factory=list)
    cells: list[types.CellType] = field(default_factory=list)
    names: list[tuple[dict[str, Any], str]] = field(default_factory=list)
    attributes: list[tuple[type, str]] = field(default_factory=list)
    arrays: list[Any] = field(default_factory=list)
    iterators: list[str] = field(default_factory=list)


def reach(*roots: Any) -> Reach:
    """Everything that the roots lead to, without the code of libraries."""
    found, seen = Reach(), set[int]()
    pending: deque[tuple[str, Any, int]] = deque(("", root, 0) for root in roots)
    kept: list[Any] = []
    while pending and len(seen) < _MOST:
        name, value, depth = pending.popleft()
        if id(value) in seen or depth > _DEPTH or isinstance(value, (str, bytes, int, float)):
            continue
        seen.add(id(value))
        kept.append(value)  # an id is only good for as long as its object lives
        pending.extend((inner, item, depth + 1) for inner, item in _inside(name, value, found))
    return found


def _inside(name: str, value: Any, found: Reach) -> Iterable[tuple[str, Any]]:
    if isinstance(value, nn.Module):
        return _module(value, found)
    if isinstance(value, Tensor):
        found.tensors.append(value)
        return ()
    if isinstance(value, types.FunctionType):
        return _function(value, found)
    if isinstance(value, types.MethodType):
        return [(name, value.__self__), (name, value.__func__)]
    if isinstance(value, functools.partial):
        return [(name, value.func), (name, value.args), (name, value.keywords)]
    if isinstance(value, (torch.Generator, random.Random)) or hasattr(value, "bit_generator"):
        found.holders.append(value)
        return ()
    if isinstance(value, (dict, list, set, deque, tuple, frozenset)):
        return _container(name, value, found)
    if type(value).__module__ == "numpy" and getattr(value, "shape", None):
        found.arrays.append(value)
        return ()
    return _object(name, value, found)


def _module(module: nn.Module, found: Reach) -> Iterator[tuple[str, Any]]:
    found.modules.append(module)
    for part in module.modules():
        yield from _class(type(part), found)
        for name, value in vars(part).items():
            is_empty = isinstance(value, (dict, list, set, tuple)) and not value
            if name not in _MODULE_OWN and value is not None and not is_empty:
                yield name, value


def _function(function: types.FunctionType, found: Reach) -> Iterator[tuple[str, Any]]:
    if (function.__module__ or "").partition(".")[0] in _LIBRARIES:
        return
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        found.cells.append(cell)
        try:
            yield name, cell.cell_contents
        except ValueError:
            continue
    found.holders.append(vars(function))
    yield "", vars(function)
    yield "", function.__defaults__
    yield "", function.__kwdefaults__
    for name in _global_names(function.__code__):
        # Those that are not there yet may be made by the step.
        found.names.append((function.__globals__, name))
        value = function.__globals__.get(name)
        yield name, value
        if isinstance(value, types.ModuleType) and not _is_library(value.__name__):
            for inner in _global_names(function.__code__) & set(vars(value)):
                found.names.append((vars(value), inner))
                yield inner, vars(value)[inner]


def _global_names(code: types.CodeType) -> set[str]:
    inner = (item for item in code.co_consts if isinstance(item, types.CodeType))
    return set(code.co_names).union(*map(_global_names, inner))


def _container(name: str, value: Any, found: Reach) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, (tuple, frozenset)):
        found.holders.append(value)
    items = value.values() if isinstance(value, dict) else value
    return ((name, item) for item in list(itertools.islice(items, _MOST)))


def _object(name: str, value: Any, found: Reach) -> Iterable[tuple[str, Any]]:
    kind = type(value)
    top = kind.__module__.partition(".")[0]
    if isinstance(value, type):
        return _class(value, found)
    if isinstance(value, types.ModuleType) or top in _FOREIGN:
        return ()
    if hasattr(kind, "__next__"):
        found.iterators.append(name or kind.__name__)
        return ()
    is_library = (top in sys.stdlib_module_names and top not in _PLAIN) or (
        top == "torch" and not kind.__module__.startswith(_TORCH)
    )
    if is_library or not hasattr(value, "__dict__"):
        return ()
    found.holders.append(vars(value))
    return [*vars(value).items(), *_class(kind, found)]


def _class(kind: type, found: Reach) -> Iterator[tuple[str, Any]]:
    """What a class of the user's holds besides its methods, such as a counter."""
    for base in kind.__mro__:
        if _is_library(base.__module__):
            continue
        for name, value in list(vars(base).items()):
            is_code = callable(value) or hasattr(type(value), "__get__")
            if not name.startswith("__") and not is_code:
                found.attributes.append((base, name))
                yield name, value


def _is_library(module: str) -> bool:
    top = module.partition(".")[0]
    return top in _LIBRARIES or top in sys.stdlib_module_names
