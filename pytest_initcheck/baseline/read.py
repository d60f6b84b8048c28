"""JSON data to stored entries, checking every value; a fault says where and what was expected."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from pytest_initcheck.baseline import keys
from pytest_initcheck.baseline.json_lines import Path
from pytest_initcheck.baseline.stored import MOST_POINTS, Band, Stored
from pytest_initcheck.baseline.text import Fault
from pytest_initcheck.records import (
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
    UnitStats,
)

T = TypeVar("T")
Reader = Callable[[Any, Path], T]
# Moments are computed in floating point and rounded: a constant's mean may leave its range so far.
_SLACK = 1e-5
_LARGEST = 1 << 62
# Role, parameter (None where the role has none), data, path.
_Line = tuple[str, str | None, Any, Path]
_ROLES = {
    ("layer", False),
    ("activations", False),
    ("activation_gradients", False),
    ("weights", True),
    ("gradients", True),
}


def tests(data: Any) -> dict[str, dict[str, Any]]:
    """The tests of a file, their entries not yet read."""
    _fields(data, (), {"format", "tests"})
    return _mapping(_plain_object)(data["tests"], ("tests",))


def stored(data: Any, path: Path) -> Stored:
    """One entry of a test."""
    required = {"provenance", "seeds", "meta", "metrics", "curves"}
    _fields(data, path, required, {"before", "after"})
    moments = {key: _model(data[key], (*path, key)) for key in ("before", "after") if key in data}
    record = RunRecord(
        seeds=_many(_integer)(data["seeds"], (*path, "seeds")),
        metrics=_mapping(_many(_any_number))(data["metrics"], (*path, "metrics")),
        meta=_mapping(_text)(data["meta"], (*path, "meta")),
        before=moments.get("before"),
        after=moments.get("after"),
    )
    bands = _mapping(_band)(data["curves"], (*path, "curves"))
    return Stored(record, bands, _mapping(_text)(data["provenance"], (*path, "provenance")))


def _band(data: Any, path: Path) -> Band:
    _fields(data, path, {"length", "seeds", "mean"}, {"sd", "nonfinite"})
    length = _count(data["length"], (*path, "length"))
    seeds = _count(data["seeds"], (*path, "seeds"))
    kept = min(length, MOST_POINTS)
    zeros = [0] * kept
    mean = _many(_maybe_number)(data["mean"], (*path, "mean"))
    sd = _many(_number)(data.get("sd", zeros), (*path, "sd"))
    nonfinite = _many(_count)(data.get("nonfinite", zeros), (*path, "nonfinite"))
    for key, values in (("mean", mean), ("sd", sd), ("nonfinite", nonfinite)):
        _demand(len(values) == kept, (*path, key), f"{kept} values, found {len(values)}")
    _demand(all(s >= 0 for s in sd), (*path, "sd"), "values of at least 0")
    _demand(all(c <= seeds for c in nonfinite), (*path, "nonfinite"), f"counts up to {seeds}")
    fits = all((m is None) == (c == seeds) for m, c in zip(mean, nonfinite, strict=True))
    _demand(fits, (*path, "mean"), "null exactly where no seed has a finite value")
    return Band(seeds=seeds, length=length, mean=mean, sd=sd, nonfinite=nonfinite)


def _model(data: Any, path: Path) -> ModelRecord:
    _fields(data, path, {"model", "layers"}, {"inputs", "outputs", "targets"})
    head, at = data["model"], (*path, "model")
    _fields(head, at, {"moment"}, {"loss", "meta", "not_observed"})
    sides = {
        key: _tensor(data[key], (*path, key))
        for key in ("inputs", "outputs", "targets")
        if key in data
    }
    return ModelRecord(
        layers=_layers(data["layers"], (*path, "layers")),
        loss=_any_number(head["loss"], (*at, "loss")) if "loss" in head else None,
        moment=_text(head["moment"], (*at, "moment")),
        meta=_mapping(_text)(head.get("meta", {}), (*at, "meta")),
        not_observed=_many(_text)(head.get("not_observed", []), (*at, "not_observed")),
        inputs=sides.get("inputs"),
        outputs=sides.get("outputs"),
        targets=sides.get("targets"),
    )


def _layers(data: Any, path: Path) -> tuple[LayerRecord, ...]:
    lines: dict[str, list[_Line]] = {}
    for key, line in _plain_object(data, path).items():
        parts = keys.split(key)
        if parts is None or (parts[1], parts[2] is not None) not in _ROLES:
            raise Fault((*path, key), f'expected a key like "fc1: weights.bias", found {key!r}')
        lines.setdefault(parts[0], []).append((parts[1], parts[2], line, (*path, key)))
    return tuple(_layer(name, lines[name]) for name in sorted(lines, key=_natural))


def _natural(name: str) -> list[tuple[int, str]]:
    # The order in which layers ran is not kept; "10" after "2" is the best guess at it.
    return [
        (int(part), "") if part.isdecimal() else (-1, part)
        for part in re.split(r"([0-9]{1,18})", name)
    ]


def _layer(name: str, lines: list[_Line]) -> LayerRecord:
    head = next(((data, path) for role, _, data, path in lines if role == "layer"), None)
    if head is None:
        raise Fault(lines[0][3], f'the line "{keys.join(name, "layer")}" is missing')
    tensors: dict[str, dict[str, TensorStats]] = {"weights": {}, "gradients": {}}
    sides: dict[str, TensorStats] = {}
    for role, parameter, data, path in lines:
        if parameter is not None:
            tensors[role][parameter] = _tensor(data, path)
        elif role != "layer":
            sides[role] = _tensor(data, path)
    return dataclasses.replace(
        _head(name, *head),
        weights=tensors["weights"],
        gradients=tensors["gradients"],
        activations=sides.get("activations"),
        activation_gradients=sides.get("activation_gradients"),
    )


def _head(name: str, data: Any, path: Path) -> LayerRecord:
    unit_fields = {"units", "dead_share", "saturated_share"}
    _fields(data, path, {"kind"}, {"nonlinearity", "update_ratio"} | unit_fields)
    has_units = bool(unit_fields & set(data))
    if has_units:
        _fields(data, path, unit_fields, set(data))
    return LayerRecord(
        name=name,
        kind=_text(data["kind"], (*path, "kind")),
        nonlinearity=_text(data["nonlinearity"], (*path, "nonlinearity"))
        if "nonlinearity" in data
        else None,
        units=_units(data, path) if has_units else None,
        update_ratio=_mapping(_any_number)(data.get("update_ratio", {}), (*path, "update_ratio")),
    )


def _units(data: Any, path: Path) -> UnitStats:
    return UnitStats(
        count=_count(data["units"], (*path, "units")),
        dead_share=_share(data["dead_share"], (*path, "dead_share")),
        saturated_share=_share(data["saturated_share"], (*path, "saturated_share")),
    )


def _tensor(data: Any, path: Path) -> TensorStats:
    numbers = ("mean", "std", "min", "max")
    counts = {"n", "nonfinite", "zero_share", "dtype", "shape"}
    _fields(data, path, counts | set(numbers), {"histogram"})
    n = _count(data["n"], (*path, "n"))
    nonfinite = _count(data["nonfinite"], (*path, "nonfinite"))
    _demand(nonfinite <= n, (*path, "nonfinite"), f"at most n = {n}, found {nonfinite}")
    values = {key: _maybe_number(data[key], (*path, key)) for key in numbers}
    stats = TensorStats(
        n=n,
        **values,
        zero_share=_share(data["zero_share"], (*path, "zero_share")),
        nonfinite=nonfinite,
        histogram=_histogram(data["histogram"], (*path, "histogram"))
        if "histogram" in data
        else None,
        dtype=_text(data["dtype"], (*path, "dtype")),
        shape=_many(_count)(data["shape"], (*path, "shape")),
    )
    _check_moments(stats, path)
    return stats


def _check_moments(stats: TensorStats, path: Path) -> None:
    finite = stats.n - stats.nonfinite
    for key in ("mean", "std", "min", "max"):
        holds = finite > 0 or getattr(stats, key) is None
        _demand(holds, (*path, key), "null, as no value is finite")
    low, high, mean, std = stats.min, stats.max, stats.mean, stats.std
    if std is not None:
        _demand(std >= 0, (*path, "std"), f"a number of at least 0, found {std}")
    if low is not None and high is not None:
        _demand(low <= high, (*path, "min"), f"min at most max, found {low} and {high}")
        slack = _SLACK * max(abs(low), abs(high))
        inside = mean is None or low - slack <= mean <= high + slack
        _demand(inside, (*path, "mean"), f"a mean between min and max, found {mean}")
        inside = std is None or std <= (high - low) + slack
        _demand(inside, (*path, "std"), f"at most max - min = {high - low:.7g}, found {std}")
    if stats.histogram is not None:
        total = sum(stats.histogram.counts)
        what = f"counts of at most {finite} finite values, their sum is {total}"
        _demand(total <= finite, (*path, "histogram"), what)


def _histogram(data: Any, path: Path) -> Histogram:
    _fields(data, path, {"low", "high", "sampled", "counts"})
    low, high = (_number(data[key], (*path, key)) for key in ("low", "high"))
    _demand(low <= high, (*path, "low"), f"low at most high, found {low} and {high}")
    counts = _many(_count)(data["counts"], (*path, "counts"))
    sampled = _count(data["sampled"], (*path, "sampled"))
    fits = sum(counts) == sampled
    what = f"counts whose sum is sampled = {sampled}, found {sum(counts)}"
    _demand(fits and bool(counts), (*path, "counts"), what)
    return Histogram(low, high, counts)


def _demand(holds: bool, path: Path, what: str) -> None:
    if not holds:
        raise Fault(path, f"{_name(path)}: expected {what}")


def _name(path: Path) -> str:
    return " > ".join(str(part) for part in path[1:]) or "the file"


def _fields(data: Any, path: Path, required: set[str], optional: set[str] | None = None) -> None:
    _plain_object(data, path)
    for key in sorted(required - set(data)):
        raise Fault(path, f"{_name(path)}: the field {key!r} is missing")
    for key in sorted(set(data) - required - (optional or set())):
        raise Fault((*path, key), f"{_name(path)}: there is no field {key!r}")


def _plain_object(data: Any, path: Path) -> dict[str, Any]:
    return _typed(data, path, dict, "an object")


def _typed(data: Any, path: Path, kind: type[T], what: str) -> T:
    if type(data) is not kind:
        raise Fault(path, f"{_name(path)}: expected {what}, found {str(data)[:40]!r}")
    return data


def _mapping(reader: Reader[T]) -> Reader[dict[str, T]]:
    def of(data: Any, path: Path) -> dict[str, T]:
        items = _plain_object(data, path).items()
        return {key: reader(item, (*path, key)) for key, item in items}

    return of


def _many(reader: Reader[T]) -> Reader[tuple[T, ...]]:
    def of(data: Any, path: Path) -> tuple[T, ...]:
        items = _typed(data, path, list, "a list")
        return tuple(reader(item, (*path, i)) for i, item in enumerate(items))

    return of


def _text(data: Any, path: Path) -> str:
    return _typed(data, path, str, "a text")


def _integer(data: Any, path: Path) -> int:
    return _typed(data, path, int, "a whole number")


def _count(data: Any, path: Path) -> int:
    _demand(0 <= _integer(data, path) <= _LARGEST, path, f"a count, found {str(data)[:40]}")
    return int(data)


def _number(data: Any, path: Path) -> float:
    if type(data) not in (int, float) or abs(data) > 1.7e308 or not math.isfinite(data):
        raise Fault(path, f"{_name(path)}: expected a finite number, found {str(data)[:40]!r}")
    return float(data)


def _maybe_number(data: Any, path: Path) -> float | None:
    return None if data is None else _number(data, path)


def _any_number(data: Any, path: Path) -> float:
    return float(data) if data in ("nan", "inf", "-inf") else _number(data, path)


def _share(data: Any, path: Path) -> float:
    share = _number(data, path)
    _demand(0 <= share <= 1, path, f"a share from 0 to 1, found {share}")
    return share
