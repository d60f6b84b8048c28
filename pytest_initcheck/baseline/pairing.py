"""Values of the same seeds in both records, where they say more than all values do."""

from __future__ import annotations

import math
import statistics

from pytest_initcheck.baseline.tolerance import NUMERIC
from pytest_initcheck.records import Curve, RunRecord

# As many differences that are all alike are no chance even where values are counts.
MOST_EQUAL = 6
Seeds = tuple[int, ...]


def expected_for(actual: Curve, expected: Curve, seeds: tuple[Seeds, Seeds]) -> tuple[Curve, bool]:
    """Which of the expected values to compare with, and whether they are paired by seed.

    All of them where the seeds are equal. Where the run has some of the baseline's seeds, their
    values alone if they are equal up to rounding, or where the differences seed by seed leave a
    smaller error than all values do.
    """
    mine, theirs = seeds
    if mine == theirs:
        return expected, bool(mine)
    known = dict(zip(theirs, expected, strict=False))
    if not mine or len(actual) != len(mine) or not all(seed in known for seed in mine):
        return expected, False
    shared = tuple(known[seed] for seed in mine)
    if _are_equal(actual, shared) or _is_sharper(actual, shared, expected):
        return shared, True
    return expected, False


def are_repeated(actual: RunRecord, expected: RunRecord) -> bool:
    """Whether the run has done again what the baseline did from the same seeds.

    All metrics are equal seed by seed, up to rounding, and at least one is not the same for all.
    """
    seeds = actual.seeds, expected.seeds
    pairs = [(actual.metrics.get(n, ()), v) for n, v in expected.metrics.items()]
    shared = [(mine, *expected_for(mine, theirs, seeds)) for mine, theirs in pairs]
    are_equal = all(paired and _are_equal(mine, theirs) for mine, theirs, paired in shared)
    return are_equal and any(len(set(mine)) > 1 for mine, _ in pairs)


def _are_equal(actual: Curve, shared: Curve) -> bool:
    pairs = zip(actual, shared, strict=False)
    are_near = all(x == y or abs(x - y) <= NUMERIC * abs(y) for x, y in pairs)
    return len(actual) == len(shared) and are_near


def _is_sharper(actual: Curve, shared: Curve, expected: Curve) -> bool:
    apart = [x - y for x, y in zip(actual, shared, strict=True)]
    if len(apart) < MOST_EQUAL or not all(map(math.isfinite, (*apart, *expected))):
        return False
    # Differences without any spread say nothing on chance.
    paired = statistics.variance(apart) / len(apart)
    whole = sum(statistics.variance(side) / len(side) for side in (actual, expected))
    return 0 < paired < whole
