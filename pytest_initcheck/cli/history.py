"""``initcheck history``: quantities from run to run, and which of them drift."""

from __future__ import annotations

import argparse
import fnmatch
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_initcheck import files
from pytest_initcheck.cli import FOUND, OK, runs
from pytest_initcheck.cli.output import aligned, print_json
from pytest_initcheck.cli.runs import Run
from pytest_initcheck.cli.series import LEVEL, Series, in_time_order, series, told
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.report.history import HistoryRow, render_history


def history(arguments: argparse.Namespace) -> int:
    """Print a row per quantity and a column per run; 1 where one of them has a trend."""
    found = in_time_order(runs.stored(arguments.run))
    if len(found) < 2:
        raise InitcheckError(f"{' '.join(arguments.run)}: 1 run has no history; pass two or more")
    every = [one for one in series(found, arguments.last) if _is_chosen(one, arguments.only)]
    if not every:
        raise InitcheckError(f"none of {len(found)} runs has recorded what --only asks for, or any")
    if arguments.plot:
        from pytest_initcheck.cli.plot import plot

        plot(Path(arguments.plot), found, every)
    if arguments.page:
        _write_page(Path(arguments.page), found, every)
    shown = [one for one in every if arguments.all or one.moves]
    if arguments.json:
        print_json(_data(found, every))
    else:
        print("\n".join(_text(found, shown, len(every) - len(shown), arguments.last)))
    return FOUND if any(one.is_trend for one in every) else OK


def _write_page(path: Path, found: Sequence[Run], every: Sequence[Series]) -> None:
    page = path if path.suffix else path / "history.html"
    text = render_history([(_when(run), _versions(run)) for run in found], map(_page_row, every))
    try:
        files.replace(page, text)
    except OSError as error:
        raise InitcheckError(f"--page {page}: {error.strerror or error}") from None
    print(f"page: {page}", file=sys.stderr)


def _page_row(one: Series) -> HistoryRow:
    p = "" if one.trend.p is None else f", p {one.trend.p:.2g}"
    return HistoryRow(
        nodeid=one.nodeid,
        entry=one.entry,
        quantity=one.quantity,
        values=one.values,
        words=tuple(told(one.quantity, value) for value in one.values),
        trend=f"{one.trend.rate:+.3g} per run, {one.trend.change:+.3g} in all{p}",
        is_trend=one.is_trend,
    )


def _is_chosen(one: Series, only: str | None) -> bool:
    if only is None:
        return True
    name = f"{one.nodeid} {one.entry} {one.quantity}"
    return only in name or fnmatch.fnmatchcase(name, only)


def _text(found: Sequence[Run], shown: Sequence[Series], left: int, last: int | None) -> list[str]:
    lines = [f"run {at}: {_when(run)}, {_versions(run)}" for at, run in enumerate(found, 1)]
    rows = [_head(len(found)), *map(_row, shown)] if shown else []
    lines += aligned(rows)
    if left:
        lines.append(f"{left} more that every run agrees in; --all shows them")
    trends = sum(one.is_trend for one in shown)
    over = f"the last {min(last, len(found))}" if last else f"all {len(found)}"
    word = "trend" if trends == 1 else "trends"
    lines.append(f"{trends} {word} over {over} runs (Mann-Kendall, Holm at {LEVEL:g})")
    return lines


def _head(count: int) -> tuple[str, ...]:
    columns = (str(at) for at in range(1, count + 1))
    return ("test", "entry", "quantity", *columns, "per run", "in all", "p", "")


def _row(one: Series) -> tuple[str, ...]:
    values = (told(one.quantity, value) for value in one.values)
    p = "-" if one.trend.p is None else f"{one.trend.p:.2g}"
    moved = (f"{one.trend.rate:+.3g}", f"{one.trend.change:+.3g}", p)
    return (one.nodeid, one.entry, one.quantity, *values, *moved, "trend" if one.is_trend else "")


def _when(run: Run) -> str:
    return run.record.provenance["time"]


def _versions(run: Run) -> str:
    known = run.record.provenance
    return ", ".join(f"{key} {known[key]}" for key in ("torch", "python", "device") if key in known)


def _data(found: Sequence[Run], every: Sequence[Series]) -> dict[str, Any]:
    return {
        "runs": [{"name": run.name, "provenance": run.record.provenance} for run in found],
        "series": [
            {
                "nodeid": one.nodeid,
                "entry": one.entry,
                "quantity": one.quantity,
                "values": [_number(value) for value in one.values],
                "n": one.trend.n,
                "rate": _number(one.trend.rate),
                "change": _number(one.trend.change),
                "p": one.trend.p,
                "trend": one.is_trend,
            }
            for one in every
        ],
    }


def _number(value: float | None) -> float | str | None:
    # JSON has no NaN; run.json writes them as text, too.
    return value if value is None or math.isfinite(value) else str(value)
