"""Metrics over seeds, as rows and as an overview of a test's entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pytest_initcheck.records import Entry, RunRecord
from pytest_initcheck.report import summary
from pytest_initcheck.report.curves import deviation_of, mean_of

MOST_COLUMNS = 6


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric: its values per seed, summarised, and the baseline's mean."""

    name: str
    values: tuple[float, ...]
    mean: float | None
    spread: float | None
    low: float | None
    high: float | None
    nonfinite: int
    expected: float | None
    expected_values: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class OverviewRow:
    """One entry of a test that has several."""

    name: str
    verdict: str
    status: str
    findings: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class OverviewView:
    """All entries of a test side by side."""

    columns: tuple[str, ...]
    rows: tuple[OverviewRow, ...]


def metric_rows(record: RunRecord, expected: RunRecord | None) -> tuple[MetricRow, ...]:
    """One row per metric, in the order in which they were recorded."""
    known = expected.metrics if expected else {}
    return tuple(_row(name, values, known.get(name, ())) for name, values in record.metrics.items())


def _row(name: str, values: Sequence[float], expected: Sequence[float]) -> MetricRow:
    finite, known = _finite(values), _finite(expected)
    return MetricRow(
        name=name,
        values=tuple(values),
        mean=mean_of(finite) if finite else None,
        spread=deviation_of(finite) if len(finite) > 1 else None,
        low=min(finite, default=None),
        high=max(finite, default=None),
        nonfinite=len(values) - len(finite),
        expected=mean_of(known) if known else None,
        expected_values=tuple(known),
    )


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if math.isfinite(value)]


def overview(entries: Sequence[Entry]) -> OverviewView | None:
    """The table of a test's entries; None where there is only one."""
    if len(entries) < 2:
        return None
    columns = tuple(dict.fromkeys(name for entry in entries for name in entry.record.metrics))
    columns = columns[:MOST_COLUMNS]
    return OverviewView(columns, tuple(_overview_row(entry, columns) for entry in entries))


def _overview_row(entry: Entry, columns: Sequence[str]) -> OverviewRow:
    rows = {row.name: row for row in metric_rows(entry.record, None)}
    return OverviewRow(
        name=entry.name,
        verdict=entry.verdict or summary.NONE,
        status=entry.comparison.status if entry.comparison else summary.NONE,
        findings=len(entry.findings),
        cells=tuple(mean_text(rows.get(name)) for name in columns),
    )


def mean_text(row: MetricRow | None) -> str:
    """ "0.971 ± 0.004" for a metric over seeds."""
    if row is None:
        return "–"
    if row.mean is None:
        return "not finite" if row.values else "–"
    text = f"{row.mean:.4g}"
    return text if row.spread is None else f"{text} ± {row.spread:.2g}"
