"""How the variance of a residual stream grows from addition to addition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pytest_initcheck.evidence.snapshot import SumSnapshot
from pytest_initcheck.evidence.streams import Stream

Law = Literal["constant", "linear", "exponential"]
# One branch that writes as much as the stream holds doubles its variance.
_DOUBLED = 2.0


def variances(stream: Stream, sums: Mapping[int, SumSnapshot]) -> tuple[float, ...]:
    """The variance of what a stream holds before its first addition, and after each.

    Empty where an addition was not measured, or is not finite.
    """
    seen = [sums.get(addition.node) for addition in stream.additions]
    first = seen[0].operands.get(stream.additions[0].skip) if seen[0] else None
    stats = [first, *(one.total if one else None for one in seen)]
    known = [one.std**2 for one in stats if one is not None and one.std is not None]
    is_whole = len(known) == len(stats) and all(map(math.isfinite, known))
    return tuple(known) if is_whole else ()


def law_of(values: Sequence[float]) -> Law:
    """What the growth of a variance is nearest to: 1, L or 2^L for L additions.

    It is constant where all additions together less than double it, as one does that writes as
    much as the stream holds (Hanin, Rolnick: How to start training, 2018). Else it is linear, or
    exponential where that lies nearer by half, in the logarithm between the first and the last.
    """
    first, last, steps = values[0], values[-1], len(values) - 1
    if first > 0 and last < _DOUBLED * first:
        return "constant"
    if first <= 0 or steps < 3 or min(values) <= 0:
        return "linear"
    rise, rate = (last - first) / steps, math.log(last / first) / steps
    linear = sum(abs(math.log(v / (first + rise * i))) for i, v in enumerate(values))
    doubling = sum(abs(math.log(v / first) - rate * i) for i, v in enumerate(values))
    return "linear" if linear <= 2 * doubling else "exponential"
