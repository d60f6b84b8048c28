"""Quantities as a report shows them: the columns of a layer, and what a field declares."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from pytest_initcheck.records import LayerRecord, Share, UnitStats
from pytest_initcheck.serialization import No, hints, uses

T = TypeVar("T")
MOST_ITEMS = 16
# A weight that started at zero and moved has no ratio to where it was.
FROM_ZERO = "from 0"


@dataclass(frozen=True)
class Column:
    """A number of every layer: its title on the page, its title on the terminal, its text."""

    title: str
    short: str
    cell: Callable[[LayerRecord], str]


def short_number(value: float | None) -> str:
    """The value with three significant digits; "-" where there is none."""
    return "-" if value is None else f"{value:.3g}"


def whole_percent(value: float | None) -> str:
    """A share as a percentage; "-" where there is none."""
    return "-" if value is None else f"{value:.0%}"


def main_parameter(tensors: Mapping[str, T]) -> T | None:
    """The tensor called "weight", else the first that is not a bias, else the first."""
    names = sorted(tensors, key=lambda name: (name != "weight", "bias" in name))
    return tensors[names[0]] if names else None


def columns() -> tuple[Column, ...]:
    """What the tables of layers show: of the tensors a choice, and all else that is declared."""
    return (
        Column("weight std", "weight std", lambda a: _of(main_parameter(a.weights), "std")),
        Column("activation mean", "act mean", lambda a: _of(a.activations, "mean")),
        Column("activation std", "act std", lambda a: _of(a.activations, "std")),
        *_declared(UnitStats, lambda layer: layer.units),
        Column("gradient rms", "grad rms", lambda a: _of(main_parameter(a.gradients), "rms")),
        *_declared(LayerRecord, lambda layer: layer),
    )


def _of(record: Any, field: str) -> str:
    return short_number(getattr(record, field, None))


def _declared(kind: type, part: Callable[[LayerRecord], Any]) -> Iterator[Column]:
    def cell(name: str) -> Callable[[LayerRecord], str]:
        return lambda layer: text(kind, name, getattr(part(layer), name, None))

    return (Column(title, short, cell(name)) for name, title, short in named(kind))


def named(kind: type) -> Iterator[tuple[str, str, str]]:
    """Name, title and short title of the fields of a record that are shown by a title."""
    for name, use in uses(kind).items():
        if use.shown and not isinstance(use.shown, No):
            yield name, use.shown, use.short or use.shown


def text(kind: type, name: str, value: Any) -> str:
    """The value of a field in a few words; of values by parameter that of the main one."""
    if isinstance(value, Mapping):
        value = main_parameter(value)
    if name == "update_ratio" and value == math.inf:
        # Any step from zero is infinitely many times what was there.
        return FROM_ZERO
    if isinstance(value, tuple):
        more = f" and {len(value) - MOST_ITEMS} more" if len(value) > MOST_ITEMS else ""
        return ", ".join(map(str, value[:MOST_ITEMS])) + more
    if get_args(Share)[1] in get_args(hints(kind)[name]):
        return whole_percent(value)
    return short_number(value) if value is None or isinstance(value, float) else str(value)
