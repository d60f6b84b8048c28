"""The terms of a loss, each as a loss of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from pytest_initcheck.objective.tail import Tail, name_on_tape, slice_of, terms
from pytest_initcheck.objective.tape import Value

# Each term is searched for what it can reach.
_TERMS = 4


def term_tails(tail: Tail) -> Iterator[Tail]:
    """The tails of the terms of a sum, each with what it reads alone; none where it is no sum."""
    found = [value for value in terms(tail.root) if value.call is not None]
    if 1 < len(found) <= _TERMS:
        for value in found:
            if (term := _term(tail, value)) is not None:
                yield term


def _term(tail: Tail, value: Value) -> Tail | None:
    calls = slice_of(value)
    if not calls or not _is_number(value):
        return None
    read = {name_on_tape(given) for call in calls for given in call.inputs}
    is_out = [name_on_tape(given) in read for given in tail.output]
    is_data = [id(tensor) in read for tensor in tail.data]
    start = {key: tensor for key, tensor in tail.start.items() if key in read}
    if not start or not any(is_data):
        return None
    return dataclasses.replace(
        tail,
        calls=tuple(calls),
        root=value,
        start=start,
        output=_where(tail.output, is_out),
        output_start=_where(tail.output_start, is_out),
        places=_where(tail.places, is_out),
        data=_where(tail.data, is_data),
        origins=_where(tail.origins, is_data),
        loss=float(value.tensor.detach()) if value.tensor is not None else tail.loss,
    )


def _is_number(value: Value) -> bool:
    return value.tensor is not None and value.tensor.numel() == 1


def _where(values: tuple[Any, ...], is_kept: list[bool]) -> tuple[Any, ...]:
    return tuple(value for value, kept in zip(values, is_kept, strict=True) if kept)
