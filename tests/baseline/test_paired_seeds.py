"""Runs over the same seeds are compared seed by seed: what all seeds share cancels."""

import math
import statistics

import pytest
from scipy.special import stdtrit

from pytest_initcheck.baseline import compare
from pytest_initcheck.baseline.seeds import BandPair
from pytest_initcheck.baseline.stored import band
from pytest_initcheck.baseline.tolerance import NUMERIC, Sample
from pytest_initcheck.records import RunRecord

BEFORE = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0)
APART = (0.3, 0.32, 0.28, 0.31, 0.29, 0.3, 0.33, 0.27)
AFTER = tuple(a + b for a, b in zip(BEFORE, APART, strict=True))


def test_two_tests_of_one_value_share_its_error_rate():
    sd, n, alpha = statistics.stdev(APART), len(APART), 1e-3
    after, before = (band([[value] for value in values]) for values in (AFTER, BEFORE))
    pairs = Sample(n, statistics.fmean(APART), sd)
    (check,) = BandPair(key="a", actual=after, expected=before, pairs=pairs).checks()
    allowed = -stdtrit(n - 1, alpha / 4) * sd / math.sqrt(n) + NUMERIC * statistics.fmean(BEFORE)
    shift = statistics.fmean(AFTER) - statistics.fmean(BEFORE)
    assert check.judge(alpha).excess == pytest.approx(shift / allowed, rel=1e-9)


@pytest.mark.parametrize(("seeds", "status"), [(range(8), "changed"), (range(8, 16), "match")])
def test_a_shift_that_seeds_hide_shows_where_they_are_the_same(seeds, status):
    before, after = (
        RunRecord(seeds=tuple(of), metrics={"a": values})
        for of, values in ((range(8), BEFORE), (seeds, AFTER))
    )
    assert compare(after, before).status == status
