"""The statistics behind every verdict over seeds."""

import math
import random
import subprocess
import sys

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.shares import chance_of_failing

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.statistics import (
    at_most_chance,
    band,
    clopper_pearson,
    failing_count,
    is_above_zero,
    outside_band,
    paired_difference,
    seeds_needed,
    share_at_least,
    wilson,
)

counts = st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
confidences = st.floats(0.5, 0.999)
values = st.floats(-1e6, 1e6)


# Shares


def test_wilson_gives_published_values():
    # Newcombe, Statistics in Medicine 17 (1998), table I
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_clopper_pearson_gives_published_values():
    # Newcombe (1998), table I
    assert clopper_pearson(81, 263) == pytest.approx((0.2527, 0.3676), abs=5e-5)
    assert clopper_pearson(0, 20) == pytest.approx((0.0, 0.1684), abs=5e-5)
    assert clopper_pearson(1, 29) == pytest.approx((0.0009, 0.1776), abs=5e-5)


@given(counts, confidences)
def test_intervals_contain_the_observed_share(count, confidence):
    successes, n = count
    for low, high in (wilson(successes, n, confidence), clopper_pearson(successes, n, confidence)):
        assert 0 <= low <= successes / n <= high <= 1


@given(counts, st.floats(0.5, 0.98))
def test_more_confidence_widens_an_interval(count, confidence):
    for interval in (wilson, clopper_pearson):
        narrow, wide = interval(*count, confidence), interval(*count, confidence + 0.01)
        assert wide[0] <= narrow[0] + 1e-12
        assert wide[1] >= narrow[1] - 1e-12


@given(counts, confidences)
def test_successes_and_failures_mirror_each_other(count, confidence):
    successes, n = count
    for interval in (wilson, clopper_pearson):
        low, high = interval(successes, n, confidence)
        mirrored = interval(n - successes, n, confidence)
        assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


@given(counts, st.floats(0.01, 0.99))
def test_the_binomial_tail_is_the_sum_of_its_terms(count, share):
    successes, n = count
    terms = (math.comb(n, k) * share**k * (1 - share) ** (n - k) for k in range(successes + 1))
    assert at_most_chance(successes, n, share) == pytest.approx(math.fsum(terms), abs=1e-9)


# The verdict over seeds


def test_eight_seeds_and_nine_tenths_pass_from_six_successes_on():
    assert [bool(share_at_least(k, 8, 0.9)) for k in range(9)] == [False] * 6 + [True] * 3
    assert chance_of_failing(0.9, 8, 0.9) == pytest.approx(0.0381, abs=1e-4)
    assert chance_of_failing(0.98, 8, 0.9) == pytest.approx(0.0004, abs=1e-4)
    assert chance_of_failing(0.5, 8, 0.9) == pytest.approx(0.8555, abs=1e-4)
    assert chance_of_failing(0.3, 8, 0.9) == pytest.approx(0.9887, abs=1e-4)


@given(counts, st.floats(0.01, 1), confidences)
def test_the_verdict_is_the_upper_bound_against_the_required_share(count, probability, confidence):
    verdict = share_at_least(*count, probability, confidence)
    assume(abs(verdict.interval[1] - probability) > 1e-9)
    contradicted = verdict.interval[1] < probability
    assert verdict.holds is not (contradicted or verdict.successes == 0)


@given(st.integers(1, 60), st.floats(0.01, 1), confidences)
def test_the_false_alarm_rate_keeps_its_promise_or_is_stated(n, probability, confidence):
    verdict = share_at_least(0, n, probability, confidence)
    assert verdict.false_alarm == chance_of_failing(probability, n, probability, confidence)
    enough = n >= seeds_needed(probability, confidence)
    assert (verdict.false_alarm < 1 - confidence) is enough
    assert ("pass at least" in verdict.sentence) is not enough


@given(st.integers(1, 60), st.floats(0.01, 1), confidences)
def test_no_guard_is_unable_to_fail_or_to_pass(n, probability, confidence):
    assert not share_at_least(0, n, probability, confidence)
    assert share_at_least(n, n, probability, confidence)
    assert 0 <= failing_count(n, probability, confidence) < n


@given(st.integers(1, 40), st.floats(0.05, 1))
def test_the_power_grows_as_the_true_share_falls(n, probability):
    powers = [chance_of_failing(share / 10, n, probability) for share in range(11)]
    assert powers == sorted(powers, reverse=True)


def test_a_required_share_of_one_fails_at_the_first_miss():
    assert share_at_least(8, 8, 1.0)
    assert not share_at_least(7, 8, 1.0)


def test_a_required_share_of_zero_always_holds():
    assert share_at_least(0, 3, 0)
    with pytest.raises(InitcheckError, match="probability > 0"):
        seeds_needed(0)


def test_the_sentences_say_what_was_seen_and_what_was_required():
    assert str(share_at_least(5, 8, 0.9)) == (
        "5 of 8 seeds (62.5 %): with 95 % confidence the true share is at most 88.9 %,"
        " required 90 %"
    )
    assert "8 of 8 seeds (100 %): in keeping with a true share of at least 90 %" in str(
        share_at_least(8, 8, 0.9)
    )
    assert "10 % of draws; pass at least 2 seeds" in str(share_at_least(0, 1, 0.9))


# Bands


def test_a_band_is_the_t_prediction_interval():
    # mean 2, s 1, n 3: t(2, .975) = 4.3027, times the root of 4/3
    lower, upper = band([[1.0], [2.0], [3.0]])
    assert (lower[0], upper[0]) == pytest.approx((2 - 4.96830, 2 + 4.96830), abs=1e-4)


def test_a_band_covers_new_curves_as_often_as_it_says():
    source = random.Random(0)
    inside = whole = 0
    for _ in range(1000):
        *curves, new = [[source.gauss(0, 1) for _ in range(5)] for _ in range(9)]
        low, high = band(curves)
        inside += low[0] <= new[0] <= high[0]
        whole += not outside_band(new, curves)
    # four standard errors of a share of .95 among 1,000
    assert inside / 1000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 1000))
    assert whole / 1000 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 1000)


@given(st.lists(values, min_size=2, max_size=8), confidences)
def test_a_band_contains_the_mean_and_grows_with_confidence(column, confidence):
    curves = [[value] for value in column]
    (low,), (high,) = band(curves, confidence)
    mean = math.fsum(column) / len(column)
    assert low - 1e-6 <= mean <= high + 1e-6
    wide = band(curves, (1 + confidence) / 2)
    assert wide.lower[0] <= low
    assert wide.upper[0] >= high


def test_outside_band_names_the_points():
    curves = [[0.0, 1.0], [0.2, 1.2], [-0.2, 0.8]]
    assert outside_band([0.1, 9.0], curves) == (1,)
    assert outside_band([0.1, 1.1], curves) == ()
    assert outside_band([math.nan, 1.1], curves) == (0,)


def test_a_seed_that_is_not_finite_leaves_no_band_to_be_inside_of():
    assert outside_band([1.0], [[1.0], [math.nan]]) == (0,)
    assert outside_band([1.0], [[1.0], [math.inf]]) == (0,)


# Paired differences


@given(st.lists(st.tuples(values, values), min_size=2, max_size=20), confidences)
def test_a_paired_difference_turns_its_sign_with_its_arguments(pairs, confidence):
    a, b = zip(*pairs, strict=True)
    one, other = paired_difference(a, b, confidence), paired_difference(b, a, confidence)
    assert one.mean == pytest.approx(-other.mean, abs=1e-6)
    assert one.interval[0] <= one.mean <= one.interval[1]
    assert one.interval == pytest.approx((-other.interval[1], -other.interval[0]), abs=1e-6)


def test_a_paired_difference_gives_students_own_example():
    # Student (1908): additional hours of sleep, mean 1.58, s 1.23, t(9, .975) = 2.262
    first = [0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0]
    second = [1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4]
    found = paired_difference(second, first)
    assert found.mean == pytest.approx(1.58)
    assert found.interval == pytest.approx((0.7001, 2.4599), abs=1e-4)
    assert "over 10 pairs (95 % interval 0.7001 to 2.46)" in str(found)


def test_equal_samples_do_not_differ():
    assert paired_difference([1.0, 2.0], [1.0, 2.0]).interval == (0, 0)


@given(st.lists(values, min_size=2, max_size=20), confidences)
def test_a_mean_is_above_zero_where_the_interval_of_the_same_test_is(gaps, confidence):
    twice = paired_difference(
        gaps, [0.0] * len(gaps), 2 * confidence - 1 if confidence > 0.5 else 0.5
    )
    if confidence > 0.5:
        assert is_above_zero(gaps, confidence) == (twice.interval[0] > 0)


def test_differences_without_any_spread_decide_by_their_sign():
    assert is_above_zero([1.0, 1.0])
    assert not is_above_zero([0.0, 0.0])
    assert not is_above_zero([-1.0, -1.0])
    with pytest.raises(InitcheckError, match="at least 2"):
        is_above_zero([1.0])


# Bad input


@pytest.mark.parametrize(
    "call",
    [
        lambda: wilson(1, 0),
        lambda: wilson(3, 2),
        lambda: wilson(-1, 2),
        lambda: wilson(0.5, 2),
        lambda: wilson(True, 2),
        lambda: wilson(1, 2, confidence=1),
        lambda: clopper_pearson(1, 2, confidence=0),
        lambda: share_at_least(1, 2, 1.1),
        lambda: share_at_least(1, 2, math.nan),
        lambda: share_at_least(1, 2, "0.9"),
        lambda: share_at_least(1, 2, 0.9, confidence=95),
        lambda: at_most_chance(1, 2, -0.1),
        lambda: band([[1.0, 2.0]]),
        lambda: band([[1.0, 2.0], [1.0]]),
        lambda: band([]),
        lambda: outside_band([1.0], [[1.0, 2.0], [1.0, 2.0]]),
        lambda: paired_difference([1.0], [1.0]),
        lambda: paired_difference([1.0, 2.0], [1.0]),
    ],
)
def test_bad_input_is_told_what_to_pass(call):
    with pytest.raises(InitcheckError, match=r"pass "):
        call()


@settings(max_examples=20)
@given(counts)
def test_whole_numbers_of_numpy_are_welcome(count):
    assert wilson(*map(numpy.int64, count)) == wilson(*count)


def test_loading_the_module_loads_nothing_heavy():
    code = (
        "import sys, pytest_initcheck.statistics;"
        "print(sorted({'torch', 'numpy', 'scipy', 'pytest'} & set(sys.modules)))"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert output.stdout.strip() == "[]"
