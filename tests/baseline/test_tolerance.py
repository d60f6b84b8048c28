"""Tolerances against theory and against simulated samples of one distribution."""

import math
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from support.baseline import histogram, stats

from pytest_initcheck.baseline import tolerance
from pytest_initcheck.baseline.tolerance import Sample
from pytest_initcheck.records import Histogram

ALPHA = 0.01
DRAWS = {
    "normal": lambda rng, shape: rng.normal(2.0, 3.0, shape),
    "uniform": lambda rng, shape: rng.uniform(-1.0, 1.0, shape),
    "laplace": lambda rng, shape: rng.laplace(0.0, 1.0, shape),
    "relu": lambda rng, shape: np.maximum(rng.normal(size=shape), 0),
}


def sample_of(values: np.ndarray) -> Sample:
    return Sample(values.size, float(values.mean()), float(values.std(ddof=1)))


def shares_outside(judge, draw, n: int, pairs: int = 1500) -> float:
    """How often two samples of one distribution leave the tolerance."""
    rng = np.random.default_rng(n)
    draws = draw(rng, (2, pairs, n))
    return sum(not judge(a, b) for a, b in zip(*draws, strict=True)) / pairs


def means_hold(a, b):
    x, y = sample_of(a), sample_of(b)
    return abs(x.mean - y.mean) <= tolerance.means(ALPHA, x, y)


def deviations_hold(a, b):
    x, y = stats(a), stats(b)
    dfs = tolerance.degrees(a.size, x), tolerance.degrees(b.size, y)
    low, high = tolerance.deviations(ALPHA, y.std, *dfs)
    return low <= x.std <= high


def extremes_hold(a, b):
    sides = [abs(v.max() - v.mean()) for v in (a, b)]
    return abs(a.max() - b.max()) <= tolerance.extremes(ALPHA, min(sides), a.size)


def histograms_hold(a, b):
    apart = tolerance.distance(histogram(a), histogram(b))
    return apart <= tolerance.distances(ALPHA, a.size, b.size)


CASES = [
    *(
        (judge, n)
        for judge in (means_hold, deviations_hold, histograms_hold)
        for n in (8, 64, 1024)
    ),
    *((extremes_hold, n) for n in (tolerance.FEWEST_FOR_RANGE, 1024)),
]


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize(("judge", "n"), CASES)
def test_two_samples_of_one_distribution_rarely_leave_it(judge, n, name):
    pairs = 1500 if judge in (means_hold, extremes_hold) else 200
    found = shares_outside(judge, DRAWS[name], n, pairs)
    # Up to three standard errors of the simulation above the promised rate.
    assert found <= ALPHA + 3 * math.sqrt(ALPHA / pairs)


def test_shares_of_zeros_rarely_leave_it():
    rng = np.random.default_rng(0)
    for n, p in ((50, 0.5), (500, 0.02), (5000, 0.001), (20, 0.9)):
        draws = rng.binomial(n, p, (2, 4000)) / n
        outside = [abs(a - b) > tolerance.shares(ALPHA, a, n, b, n) for a, b in draws.T]
        assert sum(outside) / len(outside) <= ALPHA * 1.5


def test_the_t_value_and_the_ratio_are_those_of_scipy():
    assert tolerance.reach(1e-6, 7) == pytest.approx(scipy_stats.t.isf(5e-7, 7))
    assert tolerance.reach(0.05, math.inf) == pytest.approx(1.959964, rel=1e-6)
    ratio = tolerance.largest_ratio(1e-6, 12, 30)
    assert ratio**2 == pytest.approx(scipy_stats.f.isf(5e-7, 12, 30))


@pytest.mark.parametrize(("n", "share"), [(64, 0.092), (4096, 0.011)])
def test_the_std_of_normal_values_varies_by_the_known_share(n, share):
    # One against a known value, at one standard error: alpha = 0.317.
    values = np.random.default_rng(1).normal(size=n)
    df = tolerance.degrees(n, stats(values))
    low, high = tolerance.deviations(0.317, 1.0, df, 1e9)
    assert (high - low) / 2 == pytest.approx(share, rel=0.25)


def test_heavy_tails_leave_fewer_degrees_of_freedom():
    rng = np.random.default_rng(2)
    normal, heavy = stats(rng.normal(size=4096)), stats(rng.standard_t(3, size=4096))
    assert tolerance.degrees(4096, normal) > 3500
    assert tolerance.degrees(4096, heavy) < 2000


def test_the_median_kurtosis_bound_never_falls_below_one_degree():
    spike = Histogram(0.0, 1.0, (10**9, *[0] * 30, 1))
    assert tolerance.degrees(10.0, stats([0.0, 1.0])) >= 1
    assert tolerance.degrees(10**9, stats([1.0] * 4)) >= 1
    assert tolerance._kurtosis(spike) > 1e6


def test_welch_of_one_value_is_a_prediction_interval():
    seen = Sample(8, 0.0, 2.0)
    expected = scipy_stats.t.isf(0.025, 7) * 2.0 * math.sqrt(1 + 1 / 8)
    assert tolerance.means(0.05, Sample(1, 9.0, 0.0), seen) == pytest.approx(expected)
    assert tolerance.means(0.05, Sample(1, 1.0, 0.0), Sample(1, 2.0, 0.0)) == 0


@given(st.integers(2, 40), st.floats(0, 5), st.integers(-1000, 1000))
def test_the_tolerance_of_means_has_their_scale_however_tiny_or_huge(n, ratio, exponent):
    scale = 2.0**exponent
    plain = tolerance.means(0.05, Sample(n, 0.0, 1.0), Sample(5, 0.0, ratio))
    found = tolerance.means(0.05, Sample(n, 0.0, scale), Sample(5, 0.0, ratio * scale))
    assert found == pytest.approx(plain * scale, rel=1e-9, abs=0)


_samples = st.lists(
    st.floats(-1e6, 1e6, width=32) | st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=60
)


@settings(max_examples=200, deadline=None)
@given(_samples, _samples)
def test_the_binned_distance_never_exceeds_the_true_one(a, b):
    at = np.array([*a, *b])[:, None]
    true = np.abs((np.array(a) <= at).mean(1) - (np.array(b) <= at).mean(1)).max()
    assert tolerance.distance(histogram(a), histogram(b)) <= true + 1e-9


@given(_samples)
def test_a_sample_has_no_distance_to_itself_whatever_the_bins(a):
    assert tolerance.distance(histogram(a), histogram(a)) == 0
    assert tolerance.distance(histogram(a, 32), histogram(a, 20)) == pytest.approx(0, abs=1e-12)


@given(_samples, _samples)
def test_the_binned_distance_is_symmetric_and_a_share(a, b):
    x, y = histogram(a), histogram(b)
    assert tolerance.distance(x, y) == tolerance.distance(y, x)
    assert 0 <= tolerance.distance(x, y) <= 1


def test_samples_that_do_not_overlap_are_fully_apart():
    assert tolerance.distance(histogram([0.0, 1.0]), histogram([5.0, 6.0])) == 1


def test_a_spike_at_an_edge_is_no_distance():
    # Zero falls on the edge of the 16th bin; rounding puts it to one side here, the other there.
    values = np.concatenate([np.zeros(500), np.linspace(-1, 1, 101)])
    left, right = histogram(values * 0.9999999), histogram(values * 1.0000001)
    counts = list(right.counts)
    counts[15], counts[16] = counts[15] + 500, counts[16] - 500
    moved = Histogram(right.low * 1.000001, right.high, tuple(counts))
    assert tolerance.distance(left, moved) < 0.02


@settings(max_examples=100)
@given(
    st.floats(1e-12, 0.1),
    st.floats(0.1, 1e12),
    st.floats(1, 1e12),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_tolerances_are_finite_and_grow_with_confidence(alpha, scale, n, p, q):
    for allowed in (
        partial(tolerance.means, a=Sample(n, 0, scale), b=Sample(n + 1, 0, scale)),
        partial(tolerance.shares, a=p, n_a=n, b=q, n_b=n),
        partial(tolerance.extremes, side=scale, n=n),
        partial(tolerance.distances, n_a=n, n_b=n),
    ):
        assert 0 <= allowed(alpha) < math.inf
        assert allowed(alpha / 10) >= allowed(alpha)
