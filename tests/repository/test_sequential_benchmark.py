"""The simulation of sequential seeds draws what it says, and counts what it sees."""

from __future__ import annotations

import random
import statistics

import pytest
import sequential

from pytest_initcheck import Sequential

DESIGN = Sequential(8)


@pytest.mark.parametrize("kind", sequential.KINDS)
def test_values_have_unit_deviation(kind):
    source = random.Random(0)
    values = [sequential.KINDS[kind](source) for _ in range(20_000)]
    assert statistics.fmean(values) == pytest.approx(0, abs=0.05)
    assert statistics.stdev(values) == pytest.approx(1, abs=0.15)


def test_a_change_is_found_where_it_is_and_nowhere_else():
    source = random.Random(1)
    mine, whole = sequential.compared(sequential.normal, 30.0, DESIGN, source)
    assert (mine.is_found, whole.is_found, whole.seeds) == (True, True, 8)
    mine, whole = sequential.compared(sequential.normal, 0.0, DESIGN, source)
    assert (mine, whole.is_found) == (sequential.Outcome(is_found=False, seeds=4), False)


def test_a_share_is_judged_by_both_designs():
    source = random.Random(2)
    assert [one.is_found for one in sequential.shared(0.0, DESIGN, 0.9, source)] == [True, True]
    assert [one.seeds for one in sequential.shared(1.0, DESIGN, 0.9, source)] == [4, 8]


def test_a_row_counts():
    found, not_found = sequential.Outcome(True, 8), sequential.Outcome(False, 4)
    pairs = [(found, found), (not_found, found), (not_found, not_found), (not_found, found)]
    assert sequential.row("case", pairs) == "| case | 8 | 75.00 % | 25.00 % | 4 | 5.0 |"
