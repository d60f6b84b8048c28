"""What stored runs say of one quantity, run after run."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import NamedTuple

from pytest_initcheck.baseline.trend import Trend, holm, trend
from pytest_initcheck.cli.runs import Run
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Entry, ModelRecord
from pytest_initcheck.report import run_json
from pytest_initcheck.report.summary import VERDICTS

LEVEL = 0.05
VERDICT = "verdict"
_FIRST, _FINAL = "first loss", "final loss"
_ERRORS, _WARNINGS = "errors", "warnings"
_DEAD, _SATURATED, _MOVED = "dead units", "saturated units", "update ratio"
OWN = (VERDICT, _FIRST, _FINAL, _ERRORS, _WARNINGS, _DEAD, _SATURATED, _MOVED)
_HEALTHY_FIRST = VERDICTS[::-1]
Key = tuple[str, str, str]


class Series(NamedTuple):
    """One quantity of one entry: a value per run, None in a run that has none.

    ``is_trend`` is the verdict of the test of all series together.
    """

    nodeid: str
    entry: str
    quantity: str
    values: tuple[float | None, ...]
    trend: Trend
    is_trend: bool = False

    @property
    def moves(self) -> bool:
        """Whether the runs differ in it."""
        return len(set(self.values)) > 1


def in_time_order(runs: Sequence[Run]) -> list[Run]:
    """The runs by the time at which they were made, each once.

    Raises:
        InitcheckError: one of them does not say when that was.
    """
    timed = sorted(((_time(run), at) for at, run in enumerate(runs)), key=lambda pair: pair[0])
    # A run may be given by itself and with its folder, too; its text tells, as NaN equals nothing.
    found = {_digest(runs[at]): runs[at] for _, at in reversed(timed)}
    return list(found.values())[::-1]


def _digest(run: Run) -> bytes:
    return hashlib.sha256(run_json(run.record).encode("utf-8", "surrogatepass")).digest()


def _time(run: Run) -> datetime:
    text = run.record.provenance.get("time", "")
    try:
        time = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        told = f"at {text!r}" if text else "at no time"
        raise InitcheckError(
            f"{run.name}: was made {told}, so that it has no place among the others; its "
            "provenance needs a 'time' as in ISO 8601"
        ) from None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def series(runs: Sequence[Run], last: int | None = None) -> list[Series]:
    """Every quantity of these runs, with its trend over the ``last`` of them (default: all)."""
    found: dict[Key, list[float | None]] = {}
    for at, run in enumerate(runs):
        for key, value in _quantities(run):
            found.setdefault(key, [None] * len(runs))[at] = value
    asked_of = {key: values[-last:] if last else values for key, values in found.items()}
    made = [Series(*key, tuple(found[key]), trend(part)) for key, part in asked_of.items()]
    # What does not move there asks no question, and takes no part of the error.
    asked = [
        one.trend.p if _varies(part) else None
        for one, part in zip(made, asked_of.values(), strict=True)
    ]
    rejected = holm(asked, LEVEL)
    return [one._replace(is_trend=is_trend) for one, is_trend in zip(made, rejected, strict=True)]


def _varies(values: Sequence[float | None]) -> bool:
    return len({x for x in values if x is not None and math.isfinite(x)}) > 1


def _quantities(run: Run) -> Iterator[tuple[Key, float]]:
    for test in run.record.tests:
        for entry in test.entries:
            for name, value in _of_entry(entry):
                yield (test.nodeid, entry.name, name), value


def _of_entry(entry: Entry) -> Iterator[tuple[str, float]]:
    for name, values in sorted(entry.record.metrics.items()):
        if values:
            # A metric of the user's may be called as one of ours is.
            yield f"metric {name}" if name in OWN else name, _mean(values)
    for name, model in ((_FIRST, entry.record.before), (_FINAL, entry.record.after)):
        if model is not None and model.loss is not None:
            yield name, model.loss
    if entry.verdict is not None:
        yield VERDICT, float(_HEALTHY_FIRST.index(entry.verdict))
        for name in (_ERRORS, _WARNINGS):
            yield name, float(sum(f"{found.severity}s" == name for found in entry.findings))
    model = entry.record.after or entry.record.before
    if model is not None:
        yield from _of_model(model)


def _mean(values: Sequence[float]) -> float:
    try:
        return statistics.fmean(values)
    except (ValueError, OverflowError):  # Infinities of both signs, or a sum beyond all floats.
        return math.nan


def _of_model(model: ModelRecord) -> Iterator[tuple[str, float]]:
    units = [layer.units for layer in model.layers if layer.units is not None]
    if units:
        yield _DEAD, max(unit.dead_share for unit in units)
        yield _SATURATED, max(unit.saturated_share for unit in units)
    ratios = [x for layer in model.layers for x in layer.update_ratio.values() if math.isfinite(x)]
    if ratios:
        yield _MOVED, statistics.median(ratios)


def told(quantity: str, value: float | None) -> str:
    """The value in words: a verdict by its name, a gap as "-"."""
    if value is None:
        return "-"
    if quantity == VERDICT and math.isfinite(value):
        return _HEALTHY_FIRST[round(value)]
    return f"{value:.4g}"
