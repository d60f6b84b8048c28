"""Figures of runs, sweeps and comparisons: one style, colours that all can tell apart."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from pytest_initcheck.records import Comparison, Curve, RunRecord
from pytest_initcheck.report.export import COLOURS, models_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_STYLES = ("-", "--", "-.", ":")
_MOST = 12
_AXIS = (1e-6, 1e6)


def run_figure(record: RunRecord) -> Figure:
    """The curves of a run, a line per seed; without curves its metrics, or its layers."""
    if record.curves or record.shown:
        return _curves(
            {"": record}, ", ".join(filter(None, (record.setting("optimizer"), _seeds(record))))
        )
    if record.metrics:
        return _metrics({"": record}, _seeds(record))
    if record.before is not None and record.after is not None:
        return models_figure(record.before, record.after, record.setting("model"))
    return _empty("nothing was measured")


def sweep_figure(cells: Mapping[str, RunRecord]) -> Figure:
    """The cells of a sweep over each other: the mean over the seeds, and their range."""
    if any(record.curves for record in cells.values()):
        return _curves(cells, f"{len(cells)} cells")
    return _metrics(cells, f"{len(cells)} cells") if cells else _empty("no cells")


def comparison_figure(comparison: Comparison) -> Figure:
    """How far each difference lies beyond what is allowed."""
    differences = comparison.differences[:_MOST]
    if not differences:
        return _empty(f"{comparison.status}: {comparison.compared} values, no difference")
    figure, axis = _axes(1, height=0.35 * len(differences) + 1.2)
    excess = [min(d.excess, 1e6) if math.isfinite(d.excess) else 1e6 for d in differences]
    axis[0].barh([d.key for d in differences], excess, color=COLOURS[1])
    axis[0].axvline(1, color="black", linestyle="--", label="allowed")
    axis[0].set_xscale("log")
    axis[0].set_xlabel("|actual − expected| in multiples of what is allowed")
    axis[0].invert_yaxis()
    axis[0].legend(fontsize=7)
    more = len(comparison.differences) - len(differences)
    figure.suptitle(f"{comparison.status}{f', {more} more' if more else ''}", fontsize=10)
    return figure


def bars_figure(values: Mapping[str, float], quantity: str, title: str) -> Figure:
    """A bar for each name."""
    if not values:
        return _empty(f"{title}: nothing was asked")
    figure, axis = _axes(1, height=0.35 * len(values) + 1.2)
    axis[0].barh(list(values), list(values.values()), color=COLOURS[0])
    axis[0].set_xlabel(quantity)
    axis[0].invert_yaxis()
    _finish(figure, axis, title, has_labels=False)
    return figure


def intervals_figure(
    values: Mapping[str, tuple[float, float, float]], quantity: str, title: str
) -> Figure:
    """For each name a value with its error, and a bound beyond it."""
    figure, axis = _axes(1)
    for place, (value, error, bound) in enumerate(values.values()):
        axis[0].plot([value, bound], [place, place], color=COLOURS[0], linestyle=":")
        axis[0].plot(bound, place, "|", color=COLOURS[0], markersize=14)
        axis[0].errorbar(value, place, xerr=error, fmt="o", color=COLOURS[0], capsize=4)
    axis[0].axvline(0, color="black", linewidth=0.8)
    axis[0].set_yticks(range(len(values)), list(values))
    axis[0].set_ylim(-0.6, len(values) - 0.4)
    axis[0].set_xlabel(f"{quantity}; bar: bound with 99 % probability")
    _finish(figure, axis, title, has_labels=False)
    return figure


def range_figure(low: float | None, high: float | None, quantity: str, title: str) -> Figure:
    """A range on a log axis, to its edge where a side has no end; nothing where they are NaN."""
    figure, axis = _axes(1, height=1.6)
    left, right = (_AXIS[0] if low is None else low), (_AXIS[1] if high is None else high)
    if math.isfinite(left) and math.isfinite(right):
        axis[0].barh([0], [right - left], left=left, color=COLOURS[0], height=0.4)
    axis[0].set_xscale("log")
    axis[0].set_xlim(*_AXIS)
    axis[0].set_ylim(-0.5, 0.5)
    axis[0].set_yticks([])
    axis[0].set_xlabel(quantity)
    _finish(figure, axis, title, has_labels=False)
    return figure


def drawn_curves(record: RunRecord) -> dict[str, tuple[Curve, ...]]:
    """The curves of a record, with those that no baseline keeps."""
    return {**record.curves, **record.shown}


def _curves(records: Mapping[str, RunRecord], title: str) -> Figure:
    names = list(
        dict.fromkeys(name for record in records.values() for name in drawn_curves(record))
    )
    figure, axes = _axes(len(names[:_MOST]))
    for axis, name in zip(axes, names, strict=False):
        for (label, record), style in zip(records.items(), _looks(), strict=False):
            _draw(
                axis, drawn_curves(record).get(name, ()), label, style, is_alone=len(records) == 1
            )
        axis.set_ylabel(name)
        axis.set_xlabel("epoch" if "epochs" in _first(records).meta else "step")
    _finish(figure, axes, title, has_labels=len(records) > 1)
    return figure


def _draw(
    axis: Axes, curves: Sequence[Curve], label: str, look: tuple[str, str], *, is_alone: bool
) -> None:
    colour, style = look
    if not curves:
        return
    places = range(max(map(len, curves)))
    at = [[curve[place] for curve in curves if place < len(curve)] for place in places]
    mean = [sum(values) / len(values) for values in at]
    for curve in curves if is_alone and len(curves) > 1 else ():
        axis.plot(curve, color=colour, alpha=0.35, linewidth=0.8)
    axis.plot(mean, color=colour, linestyle=style, label=label or "mean", linewidth=1.6)
    if len(curves) > 1:
        axis.fill_between(places, [*map(min, at)], [*map(max, at)], color=colour, alpha=0.15)


def _metrics(records: Mapping[str, RunRecord], title: str) -> Figure:
    names = list(dict.fromkeys(name for record in records.values() for name in record.metrics))
    figure, axes = _axes(len(names[:_MOST]))
    for axis, name in zip(axes, names, strict=False):
        for place, (record, look) in enumerate(zip(records.values(), _looks(), strict=False)):
            values = record.metrics.get(name, ())
            axis.plot([place] * len(values), values, "o", color=look[0], alpha=0.6, markersize=4)
        axis.set_xticks(range(len(records)), list(records), rotation=30, ha="right", fontsize=7)
        axis.set_ylabel(name)
    _finish(figure, axes, title, has_labels=False)
    return figure


def _axes(count: int, height: float = 2.6) -> tuple[Figure, list[Axes]]:
    from matplotlib.figure import Figure

    columns = min(max(count, 1), 3)
    rows = -(-max(count, 1) // columns)
    size = (3.4 * columns if count > 1 else 6.0, height * rows)
    figure = Figure(figsize=size, layout="constrained")
    axes = [axis for row in figure.subplots(rows, columns, squeeze=False) for axis in row]
    for axis in axes[count:]:
        axis.remove()
    return figure, axes[: max(count, 1)]


def _finish(figure: Figure, axes: Sequence[Axes], title: str, *, has_labels: bool) -> None:
    for axis in axes:
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
    if has_labels and axes:
        axes[0].legend(fontsize=7)
    figure.suptitle(title, fontsize=10)


def _empty(text: str) -> Figure:
    figure, axes = _axes(1)
    axes[0].set_axis_off()
    axes[0].text(0.5, 0.5, text, ha="center", va="center", fontsize=9)
    return figure


def _looks() -> Iterator[tuple[str, str]]:
    """Colours, and styles of lines for who sees none."""
    place = 0
    while True:
        yield COLOURS[place % len(COLOURS)], _STYLES[place % len(_STYLES)]
        place += 1


def _first(records: Mapping[str, RunRecord]) -> RunRecord:
    return next(iter(records.values()))


def _seeds(record: RunRecord) -> str:
    return f"{len(record.seeds)} seeds" if len(record.seeds) > 1 else ""
