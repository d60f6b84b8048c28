"""Numbers for the page in few characters: histograms and curves, to be drawn by its script."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from pytest_initcheck.records import Histogram

# Characters that JSON and HTML leave as they are; the script has the same list.
DIGITS = "".join(chr(i) for i in range(35, 127) if chr(i) not in "\\<>&'`")
BASE = len(DIGITS)
TOP = BASE * BASE - 2
_PAIRS = [a + b for a in DIGITS for b in DIGITS]
_LOST = _PAIRS[-1]
_DECADES = 325
_HALF = BASE**5 // 2 - 2
_STEPS = _HALF / (2 * _DECADES)
WIDEST = 1e300  # beyond it the width of a range overflows


def rounded(value: float | None, digits: int = 4) -> float | str | None:
    """The value with so many significant digits; NaN and inf as their names."""
    if value is None:
        return None
    if not math.isfinite(value):
        return str(value)
    short = float(f"{value:.{digits}g}")
    if math.isinf(short):  # It was rounded beyond the greatest float.
        return value
    return int(short) if short.is_integer() and abs(short) < 1e6 else short


def packed_float(value: float | None) -> str:
    """The value to seven digits in five characters; one for nothing, also for NaN and inf."""
    if value is None or not math.isfinite(value):
        return DIGITS[0] * 5
    if value == 0:
        return DIGITS[0] * 4 + DIGITS[1]
    # Between the least and the greatest float lie 632 decades; the lower half is negative.
    place = 2 + round((math.log10(abs(value)) + _DECADES) * _STEPS) + (_HALF if value < 0 else 0)
    pairs, last = divmod(place, BASE)
    first, second = divmod(pairs, BASE * BASE)
    return _PAIRS[first] + _PAIRS[second] + DIGITS[last]


def is_drawable(histogram: Histogram) -> bool:
    """Whether the histogram has values on a range that can be divided."""
    ends = max(abs(histogram.low), abs(histogram.high)) < WIDEST
    return ends and histogram.high >= histogram.low and sum(histogram.counts) > 0


def packed_counts(counts: Sequence[int], width: int) -> str:
    """The counts relative to the largest one, as squares, in ``width`` characters a bin.

    Squares tell small counts apart. A bin that is not empty never becomes empty.
    """
    top = BASE - 1 if width == 1 else TOP
    table = DIGITS if width == 1 else _PAIRS
    scale = top / math.sqrt(max(counts))
    root = math.sqrt
    return "".join([table[int(root(c) * scale + 0.5) or 1] if c > 0 else table[0] for c in counts])


def packed_line(values: Iterable[float], low: float, high: float, log: bool) -> str:
    """The values as places between ``low`` and ``high``, two characters each; none if not finite.

    On a log scale what is not positive has no place.
    """
    if log:
        low, high = math.log(low), math.log(high)
    # Halves keep the width finite for a range that spans all floats.
    width = high / 2 - low / 2
    text = []
    for value in values:
        if not math.isfinite(value) or (log and value <= 0):
            text.append(_LOST)
            continue
        place = math.log(value) if log else value
        part = (place / 2 - low / 2) / width if width else 0.5
        text.append(_PAIRS[round(min(max(part, 0.0), 1.0) * TOP)])
    return "".join(text)
