"""What must hold between the fields of a stored record, else someone has edited it by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pytest_initcheck.baseline.stored import MOST_POINTS, Band
from pytest_initcheck.records import Histogram, TensorStats

# Moments are computed in floating point and rounded: a constant's mean may leave its range so far.
_SLACK = 1e-5
# Key, whether it holds, what was expected. A test is made only when those before it hold.
Tested = Iterator[tuple[str, bool, str]]
Values = dict[str, Any]


def _tensor(values: Values) -> Tested:
    n, nonfinite, histogram = values["n"], values["nonfinite"], values.get("histogram")
    yield "nonfinite", nonfinite <= n, f"at most n = {n}, found {nonfinite}"
    finite = n - nonfinite
    for key in ("mean", "std", "min", "max"):
        yield key, finite > 0 or values[key] is None, "null, as no value is finite"
    yield from _moments(values)
    if histogram is not None:
        total = histogram.sampled
        what = f"counts of at most {finite} finite values, their sum is {total}"
        yield "histogram", total <= finite, what


def _moments(values: Values) -> Tested:
    low, high, mean, std = (values[key] for key in ("min", "max", "mean", "std"))
    yield "std", std is None or std >= 0, f"a number of at least 0, found {std}"
    if low is None or high is None:
        return
    yield "min", low <= high, f"min at most max, found {low} and {high}"
    slack = _SLACK * max(abs(low), abs(high))
    inside = mean is None or low - slack <= mean <= high + slack
    yield "mean", inside, f"a mean between min and max, found {mean}"
    inside = std is None or std <= (high - low) + slack
    yield "std", inside, f"at most max - min = {high - low:.7g}, found {std}"


def _histogram(values: Values) -> Tested:
    low, high, counts = values["low"], values["high"], values["counts"]
    yield "low", low <= high, f"low at most high, found {low} and {high}"
    sampled, total = values.pop("sampled"), sum(counts)
    what = f"counts whose sum is sampled = {sampled}, found {total}"
    yield "counts", total == sampled and bool(counts), what


def _band(values: Values) -> Tested:
    kept, seeds = min(values["length"], MOST_POINTS), values["seeds"]
    mean = values["mean"]
    sd = values.setdefault("sd", (0.0,) * kept)
    nonfinite = values.setdefault("nonfinite", (0,) * kept)
    for key in ("mean", "sd", "nonfinite"):
        found = len(values[key])
        yield key, found == kept, f"{kept} values, found {found}"
    yield "sd", all(s >= 0 for s in sd), "values of at least 0"
    yield "nonfinite", all(c <= seeds for c in nonfinite), f"counts up to {seeds}"
    fits = all((m is None) == (c == seeds) for m, c in zip(mean, nonfinite, strict=True))
    yield "mean", fits, "null exactly where no seed has a finite value"


INVARIANTS: dict[type, Callable[[Values], Tested]] = {
    TensorStats: _tensor,
    Histogram: _histogram,
    Band: _band,
}
