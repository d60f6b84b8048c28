"""Numbers in whatever form a test has them, as a record."""

from __future__ import annotations

import json
import numbers
from collections.abc import Mapping
from typing import Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import ModelRecord, RunRecord
from pytest_initcheck.serialization import decode, encode

WANTED = (
    "pass a record, a diagnosis, a number, or a mapping from metric to number, to one number per "
    "seed, or to one curve per seed"
)


def as_record(name: str, value: Any) -> tuple[str, RunRecord]:
    """The kind of entry and its record; a lone number becomes the metric ``name``.

    Raises:
        InitcheckError: the value holds something that is neither a record nor numbers.
    """
    if isinstance(value, RunRecord):
        return "run", _checked(name, value)
    if isinstance(value, ModelRecord):
        return "diagnosis", _checked(name, RunRecord(before=value))
    if hasattr(value, "run_record"):
        return _kind(value), _checked(name, value.run_record())
    metrics = value if isinstance(value, Mapping) else {name: value}
    if not metrics:
        raise InitcheckError(f"compare({name!r}): the mapping is empty; {WANTED}")
    return "metrics", _of_numbers(name, metrics)


def _kind(value: Any) -> str:
    if hasattr(value, "findings"):
        return "diagnosis"
    if hasattr(value, "looks"):
        return "watch"
    return "escape" if hasattr(value, "ends") else "run"


def _checked(name: str, record: RunRecord) -> RunRecord:
    """The record with plain Python numbers, as it will come back from its JSON."""
    try:
        text = json.dumps(encode(record), allow_nan=False, default=_plain)
        return decode(RunRecord, json.loads(text))
    except (InitcheckError, TypeError, ValueError) as error:
        raise InitcheckError(f"compare({name!r}): not a valid record: {error}") from None


def _of_numbers(name: str, metrics: Mapping[Any, Any]) -> RunRecord:
    values: dict[str, tuple[float, ...]] = {}
    curves: dict[str, tuple[tuple[float, ...], ...]] = {}
    for key, value in metrics.items():
        where = f"compare({name!r}): {key!r}"
        plain = _plain(value)
        if not isinstance(plain, (list, tuple)):
            values[str(key)] = (_number(plain, where),)
        elif plain and all(isinstance(_plain(row), (list, tuple)) for row in plain):
            curves[str(key)] = tuple(_row(_plain(row), where) for row in plain)
        else:
            values[str(key)] = _row(plain, where)
    return RunRecord(curves=curves, metrics=values)


def _row(values: Any, where: str) -> tuple[float, ...]:
    if not values:
        raise InitcheckError(f"{where} holds no number; {WANTED}")
    return tuple(_number(_plain(value), where) for value in values)


def _plain(value: Any) -> Any:
    # Arrays and tensors of any library give Python numbers by ``tolist``.
    convert = getattr(value, "tolist", None)
    return convert() if convert is not None else value


def _number(value: Any, where: str) -> float:
    if not isinstance(value, numbers.Real):
        raise InitcheckError(f"{where} is {type(value).__name__} {str(value)[:40]!r}; {WANTED}")
    return float(value)
