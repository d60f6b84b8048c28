"""Curves over seeds, as data that a line chart draws."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pytest_initcheck.records import Curve, RunRecord

MOST_SEEDS = 32
MOST_POINTS = 1600
LOG_RATIO = 100.0
# What the points of a curve are, by the kind of the entry.
_UNITS = {"run": "epoch", "sweep": "epoch", "watch": "look"}
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """One line: its series (which sets colour and dashes) and its points in order of x."""

    series: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Ribbon:
    """The range between two lines, at the same x."""

    series: str
    low: tuple[Point, ...]
    high: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class CurveView:
    """One line chart."""

    title: str
    x_label: str
    lines: tuple[Line, ...]
    bands: tuple[Ribbon, ...] = ()
    log: bool = False
    note: str = ""
    levels: tuple[tuple[str, float], ...] = ()


def curve_views(record: RunRecord, expected: RunRecord | None, kind: str) -> tuple[CurveView, ...]:
    """One chart per recorded curve: each seed thin, their mean, a band of one sd, the baseline."""
    known = expected.curves if expected else {}
    return tuple(
        _curve(name, curves, known.get(name, ()), kind, record.levels.get(name, {}))
        for name, curves in {**record.curves, **record.shown}.items()
        if any(curves)
    )


def _curve(
    name: str,
    curves: Sequence[Curve],
    expected: Sequence[Curve],
    kind: str,
    levels: Mapping[str, float],
) -> CurveView:
    unit = _UNITS.get(kind, "step")
    first = 1 if unit == "epoch" else 0
    shown = curves[:MOST_SEEDS] if len(curves) > 1 else ()
    longest = max(len(curve) for curve in curves)
    step = max(1, math.ceil(len(shown) * longest / MOST_POINTS))
    lines = [Line("seed", _points(curve, first, step)) for curve in shown]
    mean_step = max(1, math.ceil(longest / 400))
    lines.append(Line("mean", _summary(curves, first, mean_step, mean_of)))
    bands = [_band("band", curves, first, mean_step)] if len(curves) > 1 else []
    if any(expected):
        lines.append(Line("baseline", _summary(expected, first, mean_step, mean_of)))
        if len(expected) > 1:
            bands.append(_band("base-band", expected, first, mean_step))
    return CurveView(
        title=name,
        x_label=unit,
        lines=tuple(line for line in lines if line.points),
        bands=tuple(band for band in bands if band.low),
        log=_wants_log([value for curve in (*curves, *expected) for value in curve]),
        note=_note(curves, len(shown), step),
        levels=tuple((what, value) for what, value in levels.items() if math.isfinite(value)),
    )


def _note(curves: Sequence[Curve], shown: int, step: int) -> str:
    notes = []
    broken = sum(any(not math.isfinite(value) for value in curve) for curve in curves)
    if broken:
        notes.append(f"{broken} of {len(curves)} seeds became NaN or infinite")
    if len(curves) > 1:
        notes.append(f"mean of {len(curves)} seeds, band of one standard deviation")
    if 1 < shown < len(curves):
        notes.append(f"{shown} seeds drawn")
    if step > 1:
        notes.append(f"one point in {step} drawn of each seed")
    return "; ".join(notes)


def _points(curve: Sequence[float], first: int, step: int) -> tuple[Point, ...]:
    return tuple((float(first + i), curve[i]) for i in _kept(len(curve), step))


def _kept(length: int, step: int) -> list[int]:
    kept = list(range(0, length, step))
    return kept if not kept or kept[-1] == length - 1 else [*kept, length - 1]


def _summary(
    curves: Sequence[Curve], first: int, step: int, of: Callable[[list[float]], float]
) -> tuple[Point, ...]:
    """``of`` the seeds' finite values at each kept point; NaN where there is none."""
    points = []
    for i in _kept(max(len(curve) for curve in curves), step):
        there = [curve[i] for curve in curves if i < len(curve) and math.isfinite(curve[i])]
        points.append((float(first + i), of(there) if there else math.nan))
    return tuple(points)


def _band(series: str, curves: Sequence[Curve], first: int, step: int) -> Ribbon:
    mean = _summary(curves, first, step, mean_of)
    spread = _summary(curves, first, step, _deviation)
    both = [(x, m, s) for (x, m), (_, s) in zip(mean, spread, strict=True)]
    return Ribbon(
        series, tuple((x, m - s) for x, m, s in both), tuple((x, m + s) for x, m, s in both)
    )


def mean_of(values: Sequence[float]) -> float:
    """The mean of at least one value."""
    # Divided before it is summed, so that diverged seeds do not overflow.
    return sum(value / len(values) for value in values)


def deviation_of(values: Sequence[float]) -> float:
    """The sample standard deviation of at least two values."""
    mean = mean_of(values)
    return math.hypot(*(value - mean for value in values)) / math.sqrt(len(values) - 1)


def _deviation(values: Sequence[float]) -> float:
    return deviation_of(values) if len(values) > 1 else 0.0


def _wants_log(values: Sequence[float]) -> bool:
    finite = [value for value in values if math.isfinite(value)]
    return bool(finite) and min(finite) > 0 and max(finite) / min(finite) > LOG_RATIO
