"""Landscapes with the ways over them, matrices of confusion and points, as the page's script reads
them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from pytest_initcheck.records import Confusion, RunRecord, Scatter
from pytest_initcheck.report.pack import packed_line, rounded
from pytest_initcheck.report.texts import Texts

MOST_WAYS = 8
MOST_STEPS = 400
MOST_POINTS = 400


def scenes_data(record: RunRecord, texts: Texts) -> dict[str, Any]:
    """What there is of them, each under its key."""
    found = {
        "landscape": _landscape(record),
        "confusion": _confusion(record.confusion) if record.confusion else None,
        "scatters": [_scatter(one, texts) for one in record.scatters],
    }
    return {key: value for key, value in found.items() if value}


def _landscape(record: RunRecord) -> dict[str, Any] | None:
    land = record.landscape
    finite = [value for value in land.values if math.isfinite(value)] if land else []
    if land is None or not finite:
        return None
    low, high = min(finite), max(finite)
    names = [f"w{i}" for i in range(len(land.low))]
    return {
        "low": [rounded(value, 6) for value in land.low],
        "high": [rounded(value, 6) for value in land.high],
        "size": land.size,
        "range": [low, high],
        "values": packed_line(land.values, low, high, False),
        "ways": [
            [
                seed,
                step,
                *(_thinned(record.curves[name][row], step) for name in (*names, "objective")),
            ]
            for row, seed, step in _ways(record)
            if all(name in record.curves for name in (*names, "objective"))
        ],
    }


def _ways(record: RunRecord) -> list[tuple[int, int, int]]:
    """Row, seed and stride of the first seeds that went ways of their own."""
    rows = record.curves.get("objective", ())
    steps = record.curves.get("w0", ())
    first = {path: i for i, path in reversed(list(enumerate(steps)))}
    chosen = sorted(first.values())[:MOST_WAYS]
    return [
        (row, record.seeds[row], max(1, math.ceil(len(rows[row]) / MOST_STEPS))) for row in chosen
    ]


def _thinned(curve: Sequence[float], step: int) -> list[Any]:
    return [rounded(y, 5) if math.isfinite(y) else None for y in curve[::step]]


def _confusion(found: Confusion) -> dict[str, Any]:
    return {
        "classes": found.classes,
        "counts": list(found.counts),
        "mistaken": [
            [one.place, one.truth, one.predicted, one.count, one.pixels, one.width]
            for one in found.mistaken
        ],
    }


def _scatter(scatter: Scatter, texts: Texts) -> dict[str, Any]:
    return {
        "names": texts.add_all([scatter.title, scatter.x, scatter.y]),
        "moments": [
            [texts.add(one.moment), *(_thinned(axis[:MOST_POINTS], 1) for axis in (one.x, one.y))]
            for one in scatter.moments
        ],
    }
