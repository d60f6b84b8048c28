"""One recorded thing of a test, as the page's script reads it."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Sequence
from typing import Any

from pytest_initcheck.records import Entry, Picture, RunRecord
from pytest_initcheck.report import summary
from pytest_initcheck.report.against import Against
from pytest_initcheck.report.charts import chart_data
from pytest_initcheck.report.curves import CurveView, curve_views
from pytest_initcheck.report.findings_data import (
    MOST_FINDINGS,
    comparison_data,
    findings_data,
    since,
)
from pytest_initcheck.report.layers import Budget, layers_data
from pytest_initcheck.report.looks import look_views, path_text
from pytest_initcheck.report.metrics import MetricRow, mean_text, metric_rows
from pytest_initcheck.report.pack import rounded
from pytest_initcheck.report.panels import Drawing, Facts, Panels, Part, Table
from pytest_initcheck.report.scenes import scenes_data
from pytest_initcheck.report.texts import Texts

MOST_VALUES = 256


def entry_data(
    entry: Entry, texts: Texts, budget: Budget, panels: Panels, against: Against | None = None
) -> dict[str, Any]:
    """Everything of the entry that is there; what is empty has no key."""
    expected = entry.comparison.expected if entry.comparison else None
    parts: dict[str, Any] = {
        "expected": entry.expected and texts.add(entry.expected),
        "findings": findings_data(entry.findings, entry, texts),
        "moreFindings": max(len(entry.findings) - MOST_FINDINGS, 0),
        "ignored": findings_data(entry.ignored, entry, texts),
        "moreIgnored": max(len(entry.ignored) - MOST_FINDINGS, 0),
        "baseline": comparison_data(entry, texts, against),
        "path": entry.looks and texts.add(path_text(entry.looks)),
        "looks": _charts(look_views(entry.looks), texts),
        "curves": _charts(curve_views(entry.record, expected, entry.kind), texts),
        "metrics": _metrics(entry.record, expected, texts),
        **scenes_data(entry.record, texts),
        "layers": layers_data(entry, texts, budget),
        "panels": [
            [texts.add(view.title), [_part(part, texts) for part in view.parts]]
            for view in panels.of(entry)
        ],
    }
    told = since(entry, against) if entry.verdict == "fail" else ""
    table = against.by_layer(entry) if against else None
    if table is not None:
        parts["sides"] = _part(table, texts)
    if told:
        parts["since"] = texts.add(told)
    return {
        "name": texts.add(entry.name),
        "kind": texts.add(entry.kind),
        "state": summary.entry_state(entry),
        **{key: value for key, value in parts.items() if value},
    }


def _charts(views: Iterable[CurveView], texts: Texts) -> list[dict[str, Any]]:
    return [chart_data(view, texts) for view in views]


def _metrics(record: RunRecord, expected: RunRecord | None, texts: Texts) -> list[list[Any]]:
    return [_metric(row, texts) for row in metric_rows(record, expected)]


def _metric(row: MetricRow, texts: Texts) -> list[Any]:
    return [
        texts.add(row.name),
        texts.add(mean_text(row)),
        rounded(row.low),
        rounded(row.high),
        rounded(row.expected),
        _values(row.values),
        _values(row.expected_values),
        row.nonfinite,
    ]


def _values(values: Sequence[float]) -> list[Any]:
    return [rounded(value, 6) for value in values[:MOST_VALUES]]


def _part(part: Part, texts: Texts) -> list[Any]:
    if isinstance(part, Facts):
        return ["facts", [texts.add_all(pair) for pair in part.items]]
    if isinstance(part, Table):
        return ["table", texts.add_all(list(part.head)), [texts.add_all(r) for r in part.shown]]
    if isinstance(part, Drawing):
        return ["drawing", texts.add(part.title), deflated(part.svg)]
    return ["text", texts.add(part.text)]


def picture_data(picture: Picture, texts: Texts) -> list[Any]:
    """Title, media type and content of a picture; an empty content for what is none."""
    data = picture.data
    if picture.media == "image/svg+xml":
        return [texts.add(picture.title), "svg", deflated(data)]
    return [texts.add(picture.title), "png", data if _is_base64(data) else ""]


def deflated(svg: str) -> str:
    """An SVG file, compressed: the script unpacks it when its picture is shown."""
    packed = zlib.compress(svg.encode("utf-8", "backslashreplace"), 9)
    return base64.b64encode(packed).decode("ascii")


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except ValueError:
        return False
