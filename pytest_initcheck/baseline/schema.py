"""What a baseline keeps of each record, and how: read from what its fields declare."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from pytest_initcheck.serialization import (
    Limits,
    Member,
    No,
    hints,
    undeclared,
    uses,
    without_none,
)

DIGITS = 7


@functools.cache
def members(kind: type) -> tuple[Member, ...]:
    """The fields of a record that a baseline keeps."""
    return tuple(_member(kind, f) for f in dataclasses.fields(kind) if not uses(kind)[f.name].kept)


def _member(kind: type, field: dataclasses.Field[Any]) -> Member:
    use, hint = uses(kind)[field.name], hints(kind)[field.name]
    other = without_none(undeclared(hint))
    is_optional = field.default is None
    return Member(
        name=field.name,
        key=use.key or field.name,
        kind=other if is_optional else hint,
        is_nullable=other is not undeclared(hint),
        is_required=not (is_optional or use.sparse),
        is_inline=use.inline,
        omits=is_empty if use.sparse else lambda value: is_optional and value is None,
    )


def is_empty(value: Any) -> bool:
    """Whether a value says nothing, so that a sparse field is left out."""
    if isinstance(value, tuple):
        return all(item == 0 for item in value)
    return not value


def brief(kind: type, key: str) -> str:
    """What a short form calls the field of that key."""
    return next((short for short, own in unbriefed(kind).items() if own == key), key)


@functools.cache
def unbriefed(kind: type) -> Mapping[str, str]:
    """The keys of a record's fields by what a short form calls them."""
    return {use.brief or use.key or name: use.key or name for name, use in uses(kind).items()}


@functools.cache
def rules(kind: type) -> tuple[tuple[str, str, str], ...]:
    """Name, key and rule of every field of a record that is compared."""
    return tuple(
        (name, use.key or name, use.compared)
        for name, use in uses(kind).items()
        if not isinstance(use.compared, No)
    )


def rounded(value: float) -> float:
    """``value`` with 7 significant digits; minus zero becomes zero, NaN and inf stay."""
    if not math.isfinite(value):
        return value
    return float(f"{value:.{DIGITS}g}") + 0.0


def frozen(kind: Any, value: Any) -> Any:
    """A value as a baseline keeps it: rounded, and None where it is outside of its limits."""
    if value is None:
        return None
    kind, origin, args = _form(kind)
    if origin is Annotated:
        kept = frozen(args[0], value)
        return kept if kept is not None and broken(kept, args[1:]) is None else None
    if dataclasses.is_dataclass(value):
        return _frozen_record(value)
    if origin is tuple:
        return value if args[0] is int else tuple(frozen(args[0], item) for item in value)
    if origin is dict:
        items = ((key, frozen(args[1], item)) for key, item in value.items())
        return {key: item for key, item in items if item is not None}
    return rounded(value) if kind is float else value


@functools.cache
def _form(kind: Any) -> tuple[Any, Any, tuple[Any, ...]]:
    """A type without None, its origin and its arguments: asked for every number that is kept."""
    kind = without_none(kind)
    return kind, typing.get_origin(kind), typing.get_args(kind)


def _frozen_record(record: Any) -> Any:
    # A record without a number that it needs (a histogram up to inf) says nothing: it goes too.
    kind: type = type(record)
    kept = {m.name: frozen(m.kind, getattr(record, m.name)) for m in members(kind)}
    is_whole = all(kept[m.name] is not None or m.is_nullable for m in members(kind))
    return kind(**kept) if is_whole else None


def broken(value: Any, declared: Iterable[Any]) -> str | None:
    """What a value should be, where it is outside of the limits that are declared."""
    limits = (limit for limit in declared if isinstance(limit, Limits))
    return next((limit.what for limit in limits if not limit.holds(value)), None)
