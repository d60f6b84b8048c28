"""Records as JSON data and back, and what their fields declare about themselves."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import sys
import types
import typing
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.readers import Odd, reader

T = TypeVar("T")
Path = tuple[str | int, ...]
_ODD = ("nan", "inf", "-inf")
_RECORD = object()
_PLAIN = frozenset({str, int, bool, type(None)})
_CALLED = {str: "a text", int: "a whole number", float: "a finite number", bool: "true or false"}


class No(str):
    """The reason for which a field is not kept, not compared or not shown."""


@dataclass(frozen=True)
class Limits:
    """What a value of a field must fulfil in a baseline; what does not is left out of it."""

    what: str
    holds: Callable[[Any], bool]


@dataclass(frozen=True, kw_only=True)
class Use:
    """What is done with a field of a record, declared as ``Annotated[type, Use(…)]``.

    ``compared`` names the rule of `pytest_initcheck.baseline` that holds it against its baseline
    ("close" suits most numbers). ``shown`` is what a report calls it, "" where the report has a
    place of its own for it; ``short`` is the name in a narrow table. ``key`` is its key in what
    is stored, where that is not its name, and ``brief`` what the file calls it, where that is
    shorter; ``sparse`` leaves it out there while it is empty or zero, and ``inline`` puts its own
    fields in its place. ``kept`` is a reason for which a baseline does not hold it at all.
    """

    compared: str | No
    shown: str | No = ""
    short: str = ""
    key: str = ""
    brief: str = ""
    sparse: bool = False
    inline: bool = False
    kept: No | None = None


class FormError(InitcheckError):
    """Data that is not of the form of its record, at ``path``."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True, kw_only=True)
class Member:
    """A field as a codec writes it; ``omits`` tells the values that are left out, all of them
    empty, zero or None where it ``is_empty_by_default``."""

    name: str
    key: str
    kind: Any
    is_required: bool
    is_nullable: bool = True
    is_inline: bool = False
    omits: Callable[[Any], bool] = lambda _: False
    is_empty_by_default: bool = False


class DuplicateKey(ValueError):
    """JSON that says ``key`` twice in one object."""

    def __init__(self, key: str) -> None:
        super().__init__(f"the key {key!r} stands twice")
        self.key = key


def strict_json(text: str) -> Any:
    """The data in a JSON text, in which nothing is lost or made up.

    Raises:
        ValueError: it is no JSON, has a number that is not finite, or is a `DuplicateKey`.
        RecursionError: it is nested too deep.
    """
    return json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        raise DuplicateKey(counts.most_common(1)[0][0])
    return data


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not a number that JSON can hold")


def _are_numbers(values: tuple[Any, ...]) -> bool:
    """Whether all are whole numbers, or all finite floats, which need no look at each."""
    kinds = set(map(type, values))
    return kinds == {int} or (kinds == {float} and math.isfinite(sum(values)))


def encode(value: Any) -> Any:
    """A record as JSON data. Fields at their default are left out; NaN and inf become strings."""
    return Codec().encode(value)


def decode(kind: type[T], data: Any) -> T:
    """The record of type ``kind`` from JSON data made by ``encode``.

    Raises:
        InitcheckError: the data does not have the form of ``kind``; the message says where.
    """
    try:
        return typing.cast(T, reader(typing.cast(Any, kind))(data))
    except Odd:
        return typing.cast(T, Codec().decode(kind, data, (kind.__name__,)))


@functools.cache
def hints(kind: type) -> dict[str, Any]:
    """The types of a record's fields, with what is declared about each."""
    found = typing.get_type_hints(kind, include_extras=True)
    return {f.name: found[f.name] for f in dataclasses.fields(kind)}


@functools.cache
def uses(kind: type) -> Mapping[str, Use]:
    """What is declared about each field of a record.

    Raises:
        TypeError: a field declares nothing, so that it would be lost silently.
    """
    found = {}
    for name, hint in hints(kind).items():
        use = next((x for x in typing.get_args(hint) if isinstance(x, Use)), None)
        if use is None:
            raise TypeError(f"{kind.__name__}.{name}: declare it as Annotated[…, Use(…)]")
        found[name] = use
    return found


def without_none(kind: Any) -> Any:
    """The other type of a union with None; any other type as it is."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return kind
    return next(arg for arg in typing.get_args(kind) if arg is not type(None))


@functools.cache
def _shape(kind: Any) -> tuple[Any, tuple[Any, ...], Any]:
    """Origin and arguments of a type, and the type without None: asked for every value."""
    origin = _RECORD if dataclasses.is_dataclass(kind) else typing.get_origin(kind)
    return origin, typing.get_args(kind), without_none(kind)


def undeclared(kind: Any) -> Any:
    """A type without what is declared about it."""
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


@functools.cache
def _members(kind: type) -> tuple[Member, ...]:
    return tuple(
        Member(
            name=f.name,
            key=f.name,
            kind=hints(kind)[f.name],
            is_required=f.default is f.default_factory is dataclasses.MISSING,
            omits=functools.partial(_is_default, f),
            is_empty_by_default=f.default_factory is not dataclasses.MISSING or not f.default,
        )
        for f in dataclasses.fields(kind)
    )


def _is_default(f: dataclasses.Field[Any], value: Any) -> bool:
    if value is f.default:
        return True
    if f.default is not dataclasses.MISSING:
        return bool(value is f.default or (type(value) is type(f.default) and value == f.default))
    return f.default_factory is not dataclasses.MISSING and not value


class Codec:
    """Walks records, and types beside their data. A subclass writes less, or reads more strictly.

    Every fault names the place in the data and what was expected there. ``has_limits`` says that
    numbers are looked at one by one.
    """

    has_limits = False

    def members(self, kind: type) -> tuple[Member, ...]:
        """The fields of a record that are written."""
        return _members(kind)

    def encode(self, value: Any) -> Any:
        """A value as JSON data."""
        kind = type(value)
        if kind in _PLAIN:
            return value
        if kind is float:
            return value if math.isfinite(value) else str(value)
        if kind is tuple and _are_numbers(value):
            return list(value)
        if dataclasses.is_dataclass(value):
            return self.fields(value)
        if isinstance(value, Mapping):
            return {str(key): self.encode(item) for key, item in value.items()}
        if isinstance(value, (tuple, list)):
            return [self.encode(item) for item in value]
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value

    def fields(self, record: Any) -> dict[str, Any]:
        """The members of a record under their keys."""
        data: dict[str, Any] = {}
        for member in self.members(type(record)):
            value = getattr(record, member.name)
            if (member.is_empty_by_default and value) or not member.omits(value):
                item = value if type(value) in _PLAIN else self.encode(value)
                if member.is_inline:
                    data |= item
                else:
                    data[member.key] = item
        return data

    def decode(self, kind: Any, data: Any, path: Path) -> Any:
        """The value of type ``kind`` in JSON data that stands at ``path``."""
        origin, args, inner = _shape(kind)
        if origin is Annotated:
            return self.limited(self.decode(args[0], data, path), args[1:], path)
        if inner is not kind:
            return None if data is None else self.decode(inner, data, path)
        if origin is _RECORD:
            return self.record(kind, data, path)
        if origin is tuple:
            items = self.typed(data, list, "a list", path)
            if not self.has_limits and items and type(items[0]) is undeclared(args[0]):
                numbers = tuple(items)
                if _are_numbers(numbers):
                    return numbers
            return tuple(self.decode(args[0], item, (*path, i)) for i, item in enumerate(items))
        if origin is dict:
            pairs = self.typed(data, dict, "an object", path).items()
            return {key: self.decode(args[1], item, (*path, key)) for key, item in pairs}
        if origin is Literal:
            self.expect(data in args, path, f"one of {', '.join(map(repr, args))}", data)
            return data
        return self._number(data, path) if kind is float else self._leaf(kind, data, path)

    def _leaf(self, kind: Any, data: Any, path: Path) -> Any:
        if kind is Any:
            return data
        if issubclass(kind, str):
            self.expect(isinstance(data, str), path, _CALLED[str], data)
            return kind(data)
        return self.typed(data, kind, _CALLED[kind], path)

    def _number(self, data: Any, path: Path) -> float:
        is_number = type(data) in (int, float) and abs(data) <= sys.float_info.max
        self.expect(is_number or data in _ODD, path, "a finite number", data)
        return float(data)

    def record(self, kind: type, data: Any, path: Path) -> Any:
        """The record whose members are the keys of an object."""
        return self.build(kind, self.values(self.members(kind), data, path), path)

    def values(self, members: tuple[Member, ...], data: Any, path: Path) -> dict[str, Any]:
        """The members that an object holds, by name; it has all that are required and no other."""
        found = set(self.typed(data, dict, "an object", path))
        keys = {key for member in members for key in self.keys(member)}
        needed = {m.key for m in members if m.is_required and not m.is_inline}
        for key in sorted(needed - found):
            raise FormError(path, f"{self.place(path)}: the field {key!r} is missing")
        for key in sorted(found - keys):
            raise FormError((*path, key), f"{self.place(path)}: there is no field {key!r}")
        values = {}
        for member in members:
            if member.is_inline:
                part = {key: data[key] for key in self.keys(member) if key in data}
                if part or member.is_required:
                    values[member.name] = self.decode(member.kind, part, path)
            elif member.key in data:
                values[member.name] = self.decode(
                    member.kind, data[member.key], (*path, member.key)
                )
        return values

    def keys(self, member: Member) -> list[str]:
        """The keys under which a member is written: its own, or those of its fields."""
        if not member.is_inline:
            return [member.key]
        return [
            key
            for inner in self.members(without_none(undeclared(member.kind)))
            for key in self.keys(inner)
        ]

    def build(self, kind: type, values: dict[str, Any], path: Path) -> Any:
        """The record with these fields."""
        return kind(**values)

    def limited(self, value: Any, declared: tuple[Any, ...], path: Path) -> Any:
        """A value of a field about which something is declared."""
        return value

    def typed(self, data: Any, kind: type[T], what: str, path: Path) -> T:
        """The data, if it is of exactly that type."""
        self.expect(type(data) is kind, path, what, data)
        return typing.cast(T, data)

    def expect(self, holds: bool, path: Path, what: str, data: Any) -> None:
        """A fault at ``path`` unless ``holds``."""
        if not holds:
            raise FormError(path, f"{self.place(path)}: expected {what}, found {str(data)[:40]!r}")

    def place(self, path: Path) -> str:
        """How a message calls a place."""
        first, *rest = path
        return str(first) + "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in rest)
