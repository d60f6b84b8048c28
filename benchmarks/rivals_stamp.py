"""What an answer of a rival depends on, as a number: so that none is used that is out of date."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

# How a case is kept makes no start.
_KEPT = "corpus.case"
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")


def digest(start: Any) -> str:
    """The code that makes a start, all that it uses of the corpus, and the values that it holds.

    A case keeps its number when others come beside it, or lines move.
    """
    number = hashlib.sha256()
    for part in _parts(start, {}):
        number.update(part.encode() + b"\0")
    return number.hexdigest()[:16]


def _parts(thing: Any, seen: dict[int, Any]) -> Iterator[str]:
    if isinstance(thing, (str, int, float, complex, bytes, type(None))):
        yield repr(thing)
        return
    if id(thing) in seen:
        return
    # With what it was given to, or another may have its number next.
    seen[id(thing)] = thing
    if isinstance(thing, (FunctionType, type)) and not _is_ours(thing):
        yield f"{thing.__module__}.{thing.__qualname__}"
    else:
        held = list(_held(thing))
        yield from () if held else [_ADDRESS.sub("", repr(thing))]
        for each in held:
            yield from _parts(each, seen)


def _is_ours(thing: Any) -> bool:
    return thing.__module__.split(".")[0] in ("corpus", "rivals_worker", "__main__")


def _held(thing: Any) -> Iterator[Any]:
    """What a thing is made of; nothing where its text says it all."""
    if isinstance(thing, FunctionType):
        yield from (thing.__code__, thing.__defaults__, thing.__kwdefaults__)
        yield from (cell.cell_contents for cell in thing.__closure__ or ())
        yield from _used(thing)
    elif isinstance(thing, CodeType):
        yield from (thing.co_code, thing.co_names, thing.co_consts)
    elif isinstance(thing, MethodType):
        yield from (thing.__func__, thing.__self__)
    elif isinstance(thing, functools.partial):
        yield from (thing.func, thing.args, thing.keywords)
    elif isinstance(thing, type):
        yield thing.__qualname__
        yield from (*thing.__bases__, *(v for k, v in vars(thing).items() if k[:2] != "__"))
        yield vars(thing).get("__init__")
    elif dataclasses.is_dataclass(thing):
        yield from (getattr(thing, field.name) for field in dataclasses.fields(thing))
    elif isinstance(thing, Mapping):
        yield from (each for pair in thing.items() for each in pair)
    elif isinstance(thing, (tuple, list)):
        yield from thing
    elif isinstance(thing, frozenset):
        yield from sorted(thing, key=repr)


def _used(function: FunctionType) -> Iterator[Any]:
    """What a function takes from its module, and through it from others of the corpus."""
    names = sorted(set(_names(function.__code__)))
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    for each in found:
        if not isinstance(each, ModuleType):
            yield from [each] if getattr(each, "__module__", "") != _KEPT else []
        elif each.__name__.startswith("corpus"):
            yield from (vars(each)[name] for name in names if name in vars(each))


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _names(each)
