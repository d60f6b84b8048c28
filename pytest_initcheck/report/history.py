"""The history of stored runs as one page, without script: what drifts, and what moves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_initcheck.report.page import ICON_SOURCE, asset, digest, template
from pytest_initcheck.report.texts import safe_text

MOST_DRAWN = 240
WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 320, 120, 8, 14, 100
_STYLES = ("page", "history")


@dataclass(frozen=True, kw_only=True)
class HistoryRow:
    """One quantity: its value in each run (None where a run has none), in words, and its trend."""

    nodeid: str
    entry: str
    quantity: str
    values: tuple[float | None, ...]
    words: tuple[str, ...]
    trend: str
    is_trend: bool

    @property
    def moves(self) -> bool:
        """Whether the runs differ in it."""
        return len(set(self.values)) > 1


@dataclass(frozen=True)
class HistoryChart:
    """A row as drawn: the path of the line, the dots, and the values at bottom and top."""

    row: HistoryRow
    path: str
    dots: tuple[tuple[float, float, str], ...]
    ends: tuple[str, str]

    @property
    def label(self) -> str:
        """The chart in words, for who does not see it."""
        told = ", ".join(self.row.words)
        return safe_text(f"{self.row.quantity}, run by run: {told}")


def render_history(runs: Sequence[tuple[str, str]], rows: Iterable[HistoryRow]) -> str:
    """The page of runs (when each was made, and with what) and of what they recorded."""
    every = list(rows)
    trends = [row for row in every if row.is_trend]
    moving = [row for row in every if row.moves and not row.is_trend]
    css = "".join(asset(f"css/{name}.css") for name in _STYLES)
    policy = (
        f"default-src 'none'; img-src data:; style-src '{digest(css)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    return template("history.html.j2").render(
        sentence=_sentence(len(trends), len(every), len(runs)),
        is_bad=bool(trends),
        runs=list(enumerate(runs, 1)),
        sections=[
            ("What drifts", [chart(row) for row in trends[:MOST_DRAWN]]),
            ("What differs from run to run", [chart(row) for row in moving[:MOST_DRAWN]]),
        ],
        left=max(len(trends) - MOST_DRAWN, 0) + max(len(moving) - MOST_DRAWN, 0),
        still=len(every) - len(trends) - len(moving),
        table=[row for row in every if row.moves],
        css=css,
        policy=policy,
        box=f"0 0 {WIDTH} {HEIGHT}",
        icon=ICON_SOURCE,
    )


def _sentence(trends: int, rows: int, runs: int) -> str:
    if not trends:
        return f"Nothing drifts over {runs} runs"
    return f"{trends} of {rows} quantities drift{'s' if trends == 1 else ''} over {runs} runs"


def chart(row: HistoryRow) -> HistoryChart:
    """The row's line; a gap, NaN or infinity lifts the pen."""
    finite = [value for value in row.values if value is not None and math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    dots, path, is_down = [], "", False
    for at, (value, words) in enumerate(zip(row.values, row.words, strict=True)):
        if value is None or not math.isfinite(value):
            is_down = False
            continue
        x, y = _across(at, len(row.values)), _height(value, low, high)
        path += f"{'L' if is_down else 'M'}{x:g} {y:g}"
        dots.append((x, y, f"run {at + 1}: {words}"))
        is_down = True
    return HistoryChart(row, path, tuple(dots), (f"{low:.4g}", f"{high:.4g}"))


def _across(at: int, count: int) -> float:
    return round(LEFT + (WIDTH - 2 * LEFT) * at / max(count - 1, 1), 1)


def _height(value: float, low: float, high: float) -> float:
    # Halves keep the width finite for a range that spans all floats.
    width = high / 2 - low / 2
    part = (value / 2 - low / 2) / width if width else 0.5
    return round(BOTTOM - (BOTTOM - TOP) * part, 1)
