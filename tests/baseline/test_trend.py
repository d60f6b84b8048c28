"""Trends: published and counted probabilities, gaps, error rates."""

from __future__ import annotations

import itertools
import math
import random

import pytest
import scipy.stats

from pytest_initcheck.baseline.trend import holm, mann_kendall, trend


def s(values):
    return sum((y > x) - (y < x) for x, y in itertools.combinations(values, 2))


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_the_exact_distribution_is_that_of_all_orders(n):
    orders = list(itertools.permutations(range(n)))
    for values in orders[:: max(1, len(orders) // 40)]:
        as_much = sum(abs(s(order)) >= abs(s(values)) for order in orders) / len(orders)
        assert mann_kendall(values) == pytest.approx(as_much)


def test_a_series_that_only_rises():
    assert mann_kendall(range(12)) == pytest.approx(2 / math.factorial(12))
    assert mann_kendall(range(70)) < 1e-12


def test_ties_shrink_the_variance():
    # By hand: S = 9 of n = 5 with one pair tied, variance (5 · 4 · 15 - 2 · 1 · 9) / 18.
    z = (9 - 1) / math.sqrt((300 - 18) / 18)
    assert mann_kendall([1.0, 2.0, 2.0, 3.0, 4.0]) == pytest.approx(math.erfc(z / math.sqrt(2)))
    assert mann_kendall([1.0] * 9) == 1.0


@pytest.mark.parametrize("n", [20, 60, 61, 100])
def test_it_agrees_with_scipy_where_the_approximation_begins_and_before(n):
    draw = random.Random(n)
    values = [i + draw.gauss(0, 1.5 * n) for i in range(n)]
    expected = scipy.stats.kendalltau(range(n), values, method="exact").pvalue
    assert mann_kendall(values) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("digits", [None, 1])
def test_few_are_called_a_trend_by_chance(digits):
    draw = random.Random(0)
    trials = 2000
    called = 0
    for _ in range(trials):
        values = [draw.gauss(0, 1) for _ in range(10)]
        if digits is not None:
            values = [round(value, digits) for value in values]
        called += mann_kendall(values) <= 0.05
    # 0.05 and three standard errors.
    assert called / trials <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)


def test_gaps_count_as_steps_and_nothing_else():
    found = trend([1.0, None, 3.0, math.nan, 5.0])
    assert (found.n, found.rate, found.change) == (3, 1.0, 4.0)
    assert found.p == pytest.approx(2 / 6)
    assert trend([None, 2.0]) == (1, None, 0.0, 0.0)
    assert trend([1.0, 2.0]) == (2, None, 1.0, 1.0)


def test_one_outlier_does_not_move_the_rate():
    assert trend([0.0, 1.0, 2.0, 300.0, 4.0, 5.0, 6.0]).rate == pytest.approx(1.0)


def test_holm_shares_the_level():
    assert holm([0.001, None, 0.02, 0.04, 0.9], 0.05) == [True, False, False, False, False]
    assert holm([0.01, 0.02, 0.04], 0.05) == [True, True, True]
    assert holm([0.02, 0.03, 0.04], 0.05) == [False, False, False]
    assert holm([], 0.05) == []
