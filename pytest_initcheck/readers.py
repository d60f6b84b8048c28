"""Types as functions that read their JSON data: for each type one, made once.

They read what is sound, fast, and say no word about what is not: `Odd` sends the caller back to
`pytest_initcheck.serialization.Codec`, which tells what is wrong and where.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import sys
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any, Literal

Reader = Callable[[Any], Any]
_ODD_NUMBERS = ("nan", "inf", "-inf")


class Odd(Exception):
    """Data, or a type, that is left to the codec."""


@functools.cache
def reader(kind: Any) -> Reader:
    """The function that reads data of a type.

    Raises:
        Odd: the type is none that records have.
    """
    if dataclasses.is_dataclass(kind):
        return _Record(typing.cast(type, kind))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return reader(args[0])
    if origin in (typing.Union, types.UnionType):
        return _optional(reader(next(arg for arg in args if arg is not type(None))))
    if origin is tuple:
        return _numbers(args[0]) if args[0] in (int, float) else _items(reader(args[0]))
    if origin is dict:
        return _mapping(reader(args[1]))
    if origin is Literal:
        return _one_of(args)
    if kind is float:
        return _float
    if kind is Any:
        return _as_it_is
    if kind in (str, int, bool):
        return _exactly(kind)
    if isinstance(kind, type) and issubclass(kind, str):
        text = _exactly(str)
        return lambda data: kind(text(data))
    raise Odd


class _Record:
    """Reads the object of a record. The readers of its fields are made when one is read first,
    as a record may hold records of its own type."""

    def __init__(self, kind: type) -> None:
        self._kind = kind
        self._needed = {
            field.name
            for field in dataclasses.fields(kind)
            if field.default is field.default_factory is dataclasses.MISSING
        }

    @functools.cached_property
    def _fields(self) -> dict[str, Reader]:
        hints = typing.get_type_hints(self._kind)
        return {field.name: reader(hints[field.name]) for field in dataclasses.fields(self._kind)}

    def __call__(self, data: Any) -> Any:
        fields = self._fields
        if type(data) is not dict or not self._needed <= data.keys() <= fields.keys():
            raise Odd
        return self._kind(**{key: fields[key](value) for key, value in data.items()})


def _as_it_is(data: Any) -> Any:
    return data


def _optional(inner: Reader) -> Reader:
    return lambda data: None if data is None else inner(data)


def _items(inner: Reader) -> Reader:
    def read(data: Any) -> tuple[Any, ...]:
        if type(data) is not list:
            raise Odd
        return tuple(map(inner, data))

    return read


def _numbers(kind: type) -> Reader:
    slow = _items(reader(kind))

    def read(data: Any) -> tuple[Any, ...]:
        # A sum that is not finite may be one of huge numbers: each is looked at.
        is_plain = type(data) is list and set(map(type, data)) == {kind}
        return tuple(data) if is_plain and math.isfinite(sum(data)) else slow(data)

    return read


def _mapping(inner: Reader) -> Reader:
    def read(data: Any) -> dict[str, Any]:
        if type(data) is not dict:
            raise Odd
        return {key: inner(value) for key, value in data.items()}

    return read


def _one_of(values: tuple[Any, ...]) -> Reader:
    def read(data: Any) -> Any:
        if data not in values:
            raise Odd
        return data

    return read


def _exactly(kind: type) -> Reader:
    def read(data: Any) -> Any:
        if type(data) is not kind:
            raise Odd
        return data

    return read


def _float(data: Any) -> float:
    is_number = type(data) in (float, int) and abs(data) <= sys.float_info.max
    if not is_number and data not in _ODD_NUMBERS:
        raise Odd
    return float(data)
