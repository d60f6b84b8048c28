"""Line charts as the page's script draws them: compact data from a `CurveView`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from pytest_initcheck.report.curves import CurveView, Point
from pytest_initcheck.report.pack import packed_line, rounded
from pytest_initcheck.report.texts import Texts

SHORT = 40  # of so many points each is held as a number
DIGITS = 5


def chart_data(view: CurveView, texts: Texts) -> dict[str, Any]:
    """The chart's lines and bands; its title alone where no value of it is finite."""
    values = _finite(view)
    if not values:
        return {"title": texts.add(view.title), "lines": [], "bands": []}
    low, high = min(values), max(values)
    places: dict[tuple[float, ...], int] = {}

    def axis(points: Sequence[Point]) -> int:
        return places.setdefault(tuple(x for x, _ in points), len(places))

    def packed(points: Sequence[Point]) -> Any:
        ys = [y for _, y in points]
        if len(ys) <= SHORT:
            return [rounded(y, DIGITS) if math.isfinite(y) else None for y in ys]
        return packed_line(ys, low, high, view.log)

    def edge(points: Sequence[Point]) -> Any:
        # On a log scale the lower edge of a band can lie below zero.
        return packed([(x, max(y, low) if view.log else y) for x, y in points])

    data: dict[str, Any] = {
        "title": texts.add(view.title),
        "x": view.x_label,
        "lines": [[line.series, axis(line.points), packed(line.points)] for line in view.lines],
        "bands": [
            [band.series, axis(band.low), edge(band.low), edge(band.high)] for band in view.bands
        ],
    }
    data["xs"] = [_places(xs) for xs in places]
    if any(isinstance(line[2], str) for line in data["lines"]):
        data["range"] = [low, high]
    if view.log:
        data["log"] = 1
    if view.note:
        data["note"] = texts.add(view.note)
    if view.levels:
        data["levels"] = [[texts.add(name), rounded(y, DIGITS)] for name, y in view.levels]
    return data


def _places(xs: Sequence[float]) -> list[Any]:
    """The places on the x axis; only how many where they count up by one from the first."""
    numbers = [rounded(x, 7) for x in xs]
    if all(b - a == 1 for a, b in pairwise(xs)):
        return [numbers[0], -len(numbers)]
    return numbers


def _finite(view: CurveView) -> list[float]:
    points = [y for line in view.lines for _, y in line.points]
    if not view.log:
        points += [y for band in view.bands for edge in (band.low, band.high) for _, y in edge]
    return [y for y in points if math.isfinite(y) and (y > 0 or not view.log)]
