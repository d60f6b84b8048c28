"""What notebooks show of records: figures, tables, and the report's own page in a frame."""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytest_initcheck.records import (
    Comparison,
    Entry,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.records.display import register
from pytest_initcheck.report.export import models_frame
from pytest_initcheck.report.figures import comparison_figure, run_figure, sweep_figure
from pytest_initcheck.report.write import FORMAT, render

if TYPE_CHECKING:
    import pandas as pd

_FRAME = (
    '<iframe srcdoc="{page}" title="{title}" style="width:100%;height:{height}px;border:0" '
    'sandbox="allow-scripts"></iframe>'
)
_HEIGHT = 640
_RUN = ("kind", "name", "seed", "step", "value")
_DIFFERENCES = ("key", "actual", "expected", "allowed", "excess")


def frame_of(entries: Sequence[Entry], title: str) -> str:
    """The report of these entries, as a frame that a notebook shows."""
    failed = any(entry.verdict == "fail" for entry in entries)
    test = TestRecord(
        nodeid=title, outcome="failed" if failed else "passed", entries=tuple(entries)
    )
    page = render(SessionRecord(format=FORMAT, provenance={}, tests=(test,)))
    return _FRAME.format(page=html.escape(page), title=html.escape(title), height=_HEIGHT)


def page_of(value: Any) -> str:
    """The report's page of a record, or of what has one, as a frame that a notebook shows."""
    return frame_of(list(_entries(value)), type(value).__name__)


def table_of(lines: Iterable[str], frame: pd.DataFrame) -> str:
    """Lines of text and a table below, as a notebook shows what has no page of its own."""
    told = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    return told + str(frame.to_html(index=False, max_rows=60))


def _entries(value: Any) -> Iterator[Entry]:
    if isinstance(value, RunRecord):
        yield Entry(name="run", kind="run", record=value)
    elif isinstance(value, Comparison):
        record = value.expected or RunRecord()
        yield Entry(name="comparison", kind="run", record=record, comparison=value)
    elif isinstance(value, ModelRecord):
        yield Entry(name="model", kind="diagnosis", record=RunRecord(before=value))
    elif isinstance(value, Mapping):
        for cell, record in value.items():
            yield Entry(name=str(cell), kind="sweep", record=record)
    else:
        kind = type(value).__name__.lower()
        yield Entry(
            name=kind,
            kind=kind,
            record=value.run_record(),
            verdict=getattr(value, "verdict", None) if hasattr(value, "findings") else None,
            findings=tuple(getattr(value, "findings", ())),
            ignored=tuple(getattr(value, "ignored", ())),
        )


def _plot(value: Any) -> Any:
    if isinstance(value, Comparison):
        return comparison_figure(value)
    if isinstance(value, Mapping):
        return sweep_figure(value)
    return run_figure(value if isinstance(value, RunRecord) else value.run_record())


def frame_of_values(value: Any) -> pd.DataFrame:
    """The values of a record, or of what has one, as a table."""
    import pandas as pd

    if isinstance(value, Comparison):
        rows = [[getattr(d, name) for name in _DIFFERENCES] for d in value.differences]
        frame: pd.DataFrame = pd.DataFrame(rows, columns=list(_DIFFERENCES))
        return frame
    if isinstance(value, ModelRecord):
        return models_frame([value])
    if isinstance(value, Mapping):
        cells = [_run_frame(record).assign(cell=cell) for cell, record in value.items()]
        empty: pd.DataFrame = pd.DataFrame(columns=[*_RUN, "cell"])
        return pd.concat(cells, ignore_index=True) if cells else empty
    return _run_frame(value if isinstance(value, RunRecord) else value.run_record())


def _run_frame(record: RunRecord) -> pd.DataFrame:
    """One row per value: a curve's at each step, a metric's without a step; each of its seed."""
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for name, curves in {**record.curves, **record.shown}.items():
        for place, curve in enumerate(curves):
            seed = _seed(record, place)
            rows += [("curve", name, seed, step, value) for step, value in enumerate(curve)]
    for name, values in record.metrics.items():
        rows += [("metric", name, _seed(record, i), None, v) for i, v in enumerate(values)]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=list(_RUN))
    return frame


def _seed(record: RunRecord, place: int) -> int | None:
    return record.seeds[place] if place < len(record.seeds) else None


register(plot=_plot, to_frame=frame_of_values, html=page_of)
