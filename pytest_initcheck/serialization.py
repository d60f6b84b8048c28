"""Records as JSON data and back."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from pytest_initcheck.errors import InitcheckError

T = TypeVar("T")


def encode(value: Any) -> Any:
    """A record as JSON data. Fields at their default are left out; NaN and inf become strings."""
    if dataclasses.is_dataclass(value):
        return {
            f.name: encode(getattr(value, f.name))
            for f in dataclasses.fields(value)
            if not _is_default(f, getattr(value, f.name))
        }
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _is_default(f: dataclasses.Field[Any], value: Any) -> bool:
    if f.default is not dataclasses.MISSING:
        return bool(value is f.default or (type(value) is type(f.default) and value == f.default))
    return f.default_factory is not dataclasses.MISSING and not value


def decode(kind: type[T], data: Any) -> T:
    """The record of type ``kind`` from JSON data made by ``encode``.

    Raises:
        InitcheckError: the data does not have the form of ``kind``; the message says where.
    """
    return typing.cast(T, _decode(kind, data, kind.__name__))


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _decode(kind: Any, data: Any, where: str) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = next(a for a in args if a is not type(None))
        return None if data is None else _decode(inner, data, where)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), data, where)
    if origin is tuple:
        _expect(isinstance(data, list), where, "a list", data)
        return tuple(_decode(args[0], item, f"{where}[{i}]") for i, item in enumerate(data))
    if origin is dict:
        _expect(isinstance(data, dict), where, "an object", data)
        return {key: _decode(args[1], item, f"{where}.{key}") for key, item in data.items()}
    if origin is Literal:
        _expect(data in args, where, f"one of {', '.join(map(repr, args))}", data)
        return data
    return _decode_plain(kind, data, where)


def _decode_dataclass(kind: type, data: Any, where: str) -> Any:
    _expect(isinstance(data, dict), where, "an object", data)
    hints = _hints(kind)
    fields = {f.name: f for f in dataclasses.fields(kind)}
    unknown = sorted(set(data) - set(fields))
    _expect(not unknown, where, f"no field {', '.join(unknown)}", unknown)
    values = {key: _decode(hints[key], item, f"{where}.{key}") for key, item in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise InitcheckError(f"{where}: {error}") from None


def _decode_plain(kind: Any, data: Any, where: str) -> Any:
    if kind is float:
        if data in ("nan", "inf", "-inf"):
            return float(data)
        is_number = isinstance(data, (int, float)) and not isinstance(data, bool)
        _expect(is_number, where, "a number", data)
        return float(data)
    if issubclass(kind, str):
        _expect(isinstance(data, str), where, "a value of type str", data)
        return kind(data)
    _expect(type(data) is kind, where, f"a value of type {kind.__name__}", data)
    return data


def _expect(holds: bool, where: str, what: str, data: Any) -> None:
    if not holds:
        raise InitcheckError(f"{where}: expected {what}, found {str(data)[:60]!r}")
