"""The form of a baseline's data: a line for each tensor, and one for all else of a layer."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pytest_initcheck.baseline import keys, schema
from pytest_initcheck.baseline.invariants import INVARIANTS
from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.records import Count, Histogram, LayerRecord, ModelRecord, TensorStats
from pytest_initcheck.serialization import Codec, FormError, Member, Path, encode, undeclared

_TENSORS = (TensorStats, dict[str, TensorStats])
# Where a layer's name and a model's layers go is said below.
_APART = {LayerRecord: "name", ModelRecord: "layers"}
# Role and parameter (None where the role has none) of a layer's line, its data, and their place.
_Lines = dict[tuple[str, str | None], tuple[Any, Path]]


class Branch(dict[str, Any]):
    """An object that is written over several lines, one per member."""


class OwnLine(NamedTuple):
    """A value that has a line of its own, also where others share one."""

    value: Any


def part(key: str, kind: Any = Any) -> Member:
    """A member that is no field of a record."""
    return Member(name=key, key=key, kind=kind, is_required=True)


@functools.cache
def tensors(kind: type) -> dict[str, Member]:
    """The members of a layer or a model that stand on lines of their own, by role."""
    return {m.key: m for m in schema.members(kind) if undeclared(m.kind) in _TENSORS}


@functools.cache
def _members(kind: type) -> tuple[Member, ...]:
    kept = schema.members(kind)
    if kind in _APART:
        kept = tuple(m for m in kept if m.key not in tensors(kind) and m.name != _APART[kind])
    return (*kept, part("sampled", Count)) if kind is Histogram else kept


@functools.cache
def usual(kind: type) -> dict[str, Any]:
    """The defaults of what a record always has, as data: a short form need not say them."""
    defaults = {f.name: _default(f) for f in dataclasses.fields(kind)}
    needed = (m for m in _members(kind) if m.is_required and not m.is_inline)
    known = ((m.key, defaults.get(m.name)) for m in needed)
    return {key: encode(default) for key, default in known if default is not None}


def _default(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


class Layout(Codec):
    """Writes records as a baseline's data, and reads them back strictly."""

    has_limits = True

    def members(self, kind: type) -> tuple[Member, ...]:
        """What a baseline keeps of a record, without what stands on lines of its own."""
        return _members(kind)

    def encode(self, value: Any) -> Any:
        """A value as data."""
        if isinstance(value, ModelRecord):
            return self._model(value)
        data = super().encode(value)
        is_wide = isinstance(value, Mapping) and any(
            isinstance(item, (dict, list)) for item in data.values()
        )
        return Branch(data) if is_wide or isinstance(value, Stored) else data

    def _model(self, model: ModelRecord) -> Branch:
        layers = Branch()
        for layer in model.layers:
            layers[keys.join(layer.name, "layer")] = self.fields(layer)
            lines = self._lines(layer)
            layers |= {keys.join(layer.name, *role): stats for role, stats in lines}
        sides = {role: stats for (role, _), stats in self._lines(model)}
        return Branch({"model": self.fields(model), **sides, "layers": layers})

    def _lines(self, record: Any) -> Iterator[tuple[tuple[str, str | None], Any]]:
        kind: type = type(record)
        for role, member in tensors(kind).items():
            value = getattr(record, member.name)
            if isinstance(value, dict):
                yield from (((role, key), self.encode(stats)) for key, stats in value.items())
            elif value is not None:
                yield (role, None), self.encode(value)

    def record(self, kind: type, data: Any, path: Path) -> Any:
        """The record in an object, or in the lines of one."""
        if kind is not ModelRecord:
            return super().record(kind, data, path)
        values = self.values((part("model"), part("layers"), *tensors(kind).values()), data, path)
        head = self.values(self.members(kind), values.pop("model"), (*path, "model"))
        layers = self._layers(values["layers"], (*path, "layers"))
        return self.build(kind, {**values, **head, "layers": layers}, path)

    def _layers(self, data: Any, path: Path) -> tuple[LayerRecord, ...]:
        lines: dict[str, _Lines] = {}
        for key, item in self.typed(data, dict, "an object", path).items():
            name, role = _split(key, path)
            lines.setdefault(name, {})[role] = item, (*path, key)
        return tuple(self._layer(name, lines[name]) for name in sorted(lines, key=_natural))

    def _layer(self, name: str, lines: _Lines) -> LayerRecord:
        some_path = next(iter(lines.values()))[1]
        if ("layer", None) not in lines:
            raise FormError(some_path, f'the line "{keys.join(name, "layer")}" is missing')
        values = self.values(self.members(LayerRecord), *lines.pop(("layer", None)))
        for (role, parameter), (data, path) in lines.items():
            stats = self.decode(TensorStats, data, path)
            field = tensors(LayerRecord)[role].name
            if parameter is None:
                values[field] = stats
            else:
                values.setdefault(field, {})[parameter] = stats
        return LayerRecord(name=name, **values)

    def build(self, kind: type, values: dict[str, Any], path: Path) -> Any:
        """The record with these fields, if they fit each other."""
        for key, holds, what in INVARIANTS.get(kind, lambda _: ())(values):
            if not holds:
                raise FormError((*path, key), f"{self.place((*path, key))}: expected {what}")
        return kind(**values)

    def limited(self, value: Any, declared: tuple[Any, ...], path: Path) -> Any:
        """The value, if it is within the limits of its field."""
        what = schema.broken(value, declared)
        self.expect(what is None, path, what or "", value)
        return value

    def place(self, path: Path) -> str:
        """How a message calls a place."""
        return " > ".join(str(part) for part in path[1:]) or "the file"


def _split(key: str, path: Path) -> tuple[str, tuple[str, str | None]]:
    layer, role, parameter = keys.split(key) or ("", "", None)
    takes = {"layer": False}
    takes |= {own: m.kind is not TensorStats for own, m in tensors(LayerRecord).items()}
    if takes.get(role) is not (parameter is not None):
        raise FormError((*path, key), f'expected a key like "fc1: weights.bias", found {key!r}')
    return layer, (role, parameter)


def _natural(name: str) -> list[tuple[int, str]]:
    # The order in which layers ran is not kept; "10" after "2" is the best guess at it.
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]{1,18})", name)
    ]
