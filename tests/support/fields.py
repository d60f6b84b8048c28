"""Every field of every stored record: changed by itself, followed to the file and to the page."""

from __future__ import annotations

import dataclasses
import functools
import typing
from collections.abc import Callable, Iterator
from typing import Any

from pytest_initcheck import report
from pytest_initcheck.baseline import Stored, compare, freeze
from pytest_initcheck.baseline.format import parse, render
from pytest_initcheck.baseline.schema import frozen
from pytest_initcheck.records import (
    Comparison,
    Entry,
    LayerRecord,
    ModelRecord,
    RunRecord,
    SessionRecord,
    Share,
    TensorStats,
    TestRecord,
    UnitStats,
)
from pytest_initcheck.report.write import render as page_of
from pytest_initcheck.serialization import No, Use, hints, undeclared, uses, without_none
from support.baseline import PROVENANCE, network

_SHARE = typing.get_args(Share)[1]


def kinds(kind: Any = Stored) -> list[type]:
    """The record type and all those that its fields hold, but for what no baseline keeps."""
    found = [kind] if isinstance(kind, type) and dataclasses.is_dataclass(kind) else []
    inner = list(map(_kept, hints(kind).values())) if found else typing.get_args(kind)
    return list(dict.fromkeys([*found, *(k for one in inner for k in kinds(one))]))


def _kept(hint: Any) -> Any:
    declared = (x for x in typing.get_args(hint) if isinstance(x, Use))
    return None if any(use.kept for use in declared) else hint


def cases() -> list[tuple[type, str]]:
    """Every field of each, but for the record that Stored wraps."""
    return [
        (kind, field.name)
        for kind in kinds()
        for field in dataclasses.fields(kind)
        if (kind, field.name) != (Stored, "record")
    ]


@functools.cache
def example() -> RunRecord:
    """A record in which no field is at its default."""
    curves = tuple(tuple(s + 2.0 / (i + 1) for i in range(100)) for s in range(4))
    base = network(0)

    def tensor(stats: TensorStats) -> TensorStats:
        # Room for one value more in the counts.
        return dataclasses.replace(stats, n=2 * stats.n, nonfinite=1, zero_share=0.25)

    def layer(record: LayerRecord) -> LayerRecord:
        units = UnitStats(
            count=9, dead_share=0.25, saturated_share=0.25, dead=(1, 2), saturated=(3,)
        )
        kept = {"nonlinearity": "relu", "units": units, "update_ratio": {"weight": 0.125}}
        return _filled(dataclasses.replace(record, **kept))

    def model(record: ModelRecord) -> ModelRecord:
        return _filled(
            dataclasses.replace(record, meta={"lr": "0.1"}, not_observed=("rnn", "head"))
        )

    before = rebuilt(rebuilt(rebuilt(base.before, TensorStats, tensor), LayerRecord, layer),
                     ModelRecord, model)  # fmt: skip
    return _filled(
        RunRecord(
            seeds=(0, 1, 2, 3),
            curves={"loss": curves, "accuracy": curves},
            metrics={"accuracy": (0.5, 0.625, 0.75, 0.875)},
            before=before,
            after=dataclasses.replace(before, moment="after 3 steps"),
            meta={"lr": "0.01"},
            shown={"norm": curves},
        )
    )


def _filled(record: Any) -> Any:
    """With a value in every field that has none: those that were added since this was written."""
    own = {name: getattr(record, name) for name in hints(type(record))}
    new = {
        name: made(hints(type(record))[name])
        for name, value in own.items()
        if value is None or value == () or value == {}
    }
    return dataclasses.replace(record, **new)


def made(kind: Any) -> Any:
    """Some value of a type."""
    kind = without_none(undeclared(without_none(undeclared(kind))))
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if dataclasses.is_dataclass(kind):
        needed = (f for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING)
        return kind(**{f.name: made(hints(kind)[f.name]) for f in needed})  # type: ignore[operator]
    if origin is tuple:
        one = made(args[0])
        return (one,) if dataclasses.is_dataclass(one) else (one, changed(args[0], one))
    if origin is dict:
        return {"weight": made(args[1])}
    return {float: 0.375, int: 3, str: "some", bool: True}[undeclared(kind)]


def changed(kind: Any, value: Any) -> Any:
    """Another value of the type, near enough to fit the other fields of its record."""
    args = typing.get_args(kind)
    bare = without_none(undeclared(kind))
    inner = typing.get_args(bare)
    if value is None or value in ((), {}):
        return made(kind)
    if dataclasses.is_dataclass(value):
        return None
    if isinstance(value, tuple):
        if dataclasses.is_dataclass(inner[0]) or kinds(inner[0]):
            return ()
        if isinstance(value[0], float):
            return tuple(changed(inner[0], item) for item in value)
        turned = value[::-1]
        return turned if turned != value else (changed(inner[0], value[0]), *value[1:])
    if isinstance(value, dict):
        first = next(iter(value))
        return {} if kinds(inner[1]) else {**value, first: changed(inner[1], value[first])}
    if isinstance(value, float):
        return 0.75 if _SHARE in args else value + 0.05 * abs(value) + 0.001
    return not value if isinstance(value, bool) else value + ("x" if isinstance(value, str) else 1)


def rebuilt(value: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """The same with every record of that kind changed."""
    if dataclasses.is_dataclass(value):
        own = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        parts = {name: rebuilt(part, kind, change) for name, part in own.items()}
        value = dataclasses.replace(value, **parts)  # type: ignore[type-var]
        return change(value) if type(value) is kind else value
    if isinstance(value, tuple):
        return tuple(rebuilt(part, kind, change) for part in value)
    if isinstance(value, dict):
        return {key: rebuilt(part, kind, change) for key, part in value.items()}
    return value


def with_change(value: Any, kind: type, name: str) -> Any:
    """The same with one field of every record of that kind changed."""
    hint = hints(kind)[name]
    return rebuilt(
        value, kind, lambda r: dataclasses.replace(r, **{name: changed(hint, getattr(r, name))})
    )


def values(value: Any, kind: type, name: str) -> Iterator[Any]:
    """That field of every record of the kind, as a baseline keeps it."""
    if type(value) is kind:
        yield frozen(hints(kind)[name], getattr(value, name))
    if dataclasses.is_dataclass(value):
        value = tuple(getattr(value, f.name) for f in dataclasses.fields(value))
    if isinstance(value, dict):
        value = tuple(value[key] for key in sorted(value))
    if isinstance(value, tuple):
        for part in value:
            yield from values(part, kind, name)


def stored(kind: type, name: str) -> Stored:
    """The example's baseline with that field changed."""
    return typing.cast(Stored, with_change(freeze(example(), PROVENANCE), kind, name))


def survives(kind: type, name: str) -> bool:
    """Whether a changed value comes back from the file."""
    there = stored(kind, name)
    back = parse(render({"test_x": {"run": there}}), "a.json")["test_x"]["run"]
    found = list(values(back, kind, name))
    if uses(kind)[name].kept:
        field = next(f for f in dataclasses.fields(kind) if f.name == name)
        default = () if field.default is dataclasses.MISSING else field.default
        return all(not value and not default for value in found)
    return found == list(values(there, kind, name))


def differs(kind: type, name: str) -> bool:
    """Whether a changed value is a difference from the baseline."""
    return compare(example(), stored(kind, name), rtol=1e-9, atol=1e-12).status == "changed"


def shows(kind: type, name: str) -> bool:
    """Whether a changed value changes the page."""
    if kind in (Stored, *(set(kinds()) - set(kinds(RunRecord)))):
        return _page(example(), stored(kind, name)) != _example_page()
    record = with_change(example(), kind, name)
    return _page(record, stored_example()) != _example_page()


@functools.cache
def stored_example() -> Stored:
    return freeze(example(), PROVENANCE)


@functools.cache
def _example_page() -> str:
    return _page(example(), stored_example())


def _page(record: RunRecord, expected: Stored) -> str:
    found = Comparison(
        status="match", expected=expected.expected(), provenance=expected.provenance, compared=1
    )
    entry = Entry(name="run", kind="run", record=record, comparison=found)
    test = TestRecord(nodeid="test_a.py::test_x", entries=(entry,))
    return page_of(SessionRecord(report.FORMAT, {}, (test,)))


def problems(kind: type, name: str) -> list[str]:
    """What is lost of a field, and which of its declarations does not hold."""
    use, found = uses(kind)[name], []
    if not survives(kind, name):
        found.append("it does not come back from the file as it is declared")
    if not isinstance(use.compared, No) and not differs(kind, name):
        found.append(f"compared={use.compared!r} is not so")
    if shows(kind, name) is isinstance(use.shown, No):
        found.append(f"shown={use.shown!r} is not so")
    return [f"{kind.__name__}.{name}: {text}" for text in found]
