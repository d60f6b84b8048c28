"""The history as one picture: a panel per quantity, those that drift first."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_initcheck import files
from pytest_initcheck.cli.runs import Run
from pytest_initcheck.cli.series import Series
from pytest_initcheck.errors import InitcheckError

FORMS = (".png", ".svg")
MOST_PANELS = 30
_COLUMNS = 3


def plot(path: Path, runs: Sequence[Run], every: Sequence[Series]) -> None:
    """Draw what moves, at most ``MOST_PANELS``, into a PNG or SVG.

    Raises:
        InitcheckError: the name has another ending, nothing moves, or the file cannot be written.
    """
    form = path.suffix.lower()
    if form not in FORMS:
        raise InitcheckError(f"--plot {path}: pass a name that ends in {' or '.join(FORMS)}")
    moving = sorted((one for one in every if one.moves), key=_drifting_first)[:MOST_PANELS]
    if not moving:
        raise InitcheckError(f"--plot {path}: the runs agree in all, so that nothing is to be seen")
    try:
        files.replace(path, _drawn(form[1:], runs, moving))
    except OSError as error:
        raise InitcheckError(f"--plot {path}: {error.strerror or error}") from None


def _drifting_first(one: Series) -> tuple[bool, float]:
    return not one.is_trend, math.inf if one.trend.p is None else one.trend.p


def _drawn(form: str, runs: Sequence[Run], moving: Sequence[Series]) -> bytes:
    import matplotlib
    from matplotlib.figure import Figure

    columns = min(_COLUMNS, len(moving))
    rows = -(-len(moving) // columns)
    stream = io.BytesIO()
    # The names of tests are not ours: a dollar sign in them is no formula.
    with matplotlib.rc_context({"text.parse_math": False, "svg.fonttype": "none"}):
        figure = Figure(figsize=(4.5 * columns, 2.6 * rows), layout="constrained")
        grid = figure.subplots(rows, columns, squeeze=False).flat
        for axes, one in zip(grid, moving, strict=False):
            _panel(axes, len(runs), one)
        for axes in grid:
            axes.set_visible(axes.has_data())
        figure.savefig(stream, format=form, metadata={"Date": None} if form == "svg" else None)
    return stream.getvalue()


def _panel(axes: Any, count: int, one: Series) -> None:
    values = [math.nan if value is None else value for value in one.values]
    axes.plot(range(1, count + 1), values, marker="o", color="C3" if one.is_trend else "C0")
    axes.set_title(f"{one.nodeid}\n{one.entry}: {one.quantity}", fontsize=7)
    axes.set_xlabel("run", fontsize=7)
    axes.tick_params(labelsize=7)
