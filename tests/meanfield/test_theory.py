"""Mean field theory against closed forms, and against what is known of its phases."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_initcheck import InitcheckError, MeanField, critical_sigma_w
from pytest_initcheck.meanfield.activations import derivative
from pytest_initcheck.meanfield.integrals import mean, mean_of_pair

VARIANCES = st.floats(0.03, 30)
CORRELATIONS = st.floats(-0.9999, 0.9999)
NAMES = st.sampled_from(["tanh", "relu", "erf"])


def tensor(value):
    return torch.tensor(value, dtype=torch.float64)


def of_pair(function, p, q, c):
    return float(mean_of_pair(function, tensor(p), tensor(q), tensor(c * math.sqrt(p * q))))


@settings(max_examples=60)
@given(VARIANCES, VARIANCES, CORRELATIONS)
def test_relu_is_the_arc_cosine_kernel(p, q, c):
    """Cho and Saul: Kernel methods for deep learning (2009), orders 1 and 0."""
    angle = math.acos(c)
    first = (math.sin(angle) + (math.pi - angle) * c) / (2 * math.pi)
    assert of_pair(torch.relu, p, q, c) / math.sqrt(p * q) == pytest.approx(first, abs=1e-7)
    zeroth = (math.pi - angle) / (2 * math.pi)
    assert of_pair(derivative(torch.relu), p, q, c) == pytest.approx(zeroth, abs=1e-4)


@settings(max_examples=60)
@given(VARIANCES, VARIANCES, CORRELATIONS)
def test_erf_is_the_arc_sine_kernel(p, q, c):
    """Williams: Computing with infinite networks (1997), equation 11."""
    covariance = 2 * c * math.sqrt(p * q)
    expected = 2 / math.pi * math.asin(covariance / math.sqrt((1 + 2 * p) * (1 + 2 * q)))
    assert of_pair(torch.erf, p, q, c) == pytest.approx(expected, abs=1e-6)


@given(VARIANCES, NAMES)
def test_equal_inputs_are_one(q, name):
    function = {"tanh": torch.tanh, "relu": torch.relu, "erf": torch.erf}[name]
    alone = float(mean(lambda u: function(u).square(), tensor(q)))
    assert of_pair(function, q, q, 1.0) == pytest.approx(alone, abs=1e-6)


@settings(max_examples=20)
@given(NAMES, st.floats(0.3, 3), st.floats(0.05, 1), CORRELATIONS)
def test_the_slope_is_the_derivative_of_the_map(name, sigma_w, sigma_b, c):
    field = MeanField(name, sigma_w, sigma_b)
    c = 0.9 * c
    by_hand = (field.correlation(c + 1e-4) - field.correlation(c - 1e-4)) / 2e-4
    assert field.slope(c) == pytest.approx(by_hand, abs=1e-3)


@settings(max_examples=20)
@given(st.sampled_from(["tanh", "erf"]), st.floats(0.5, 4), st.floats(0.05, 1))
def test_fixed_points_are_fixed_and_their_phase_is_that_of_chi(name, sigma_w, sigma_b):
    field = MeanField(name, sigma_w, sigma_b)
    q, c = field.fixed_variance, field.fixed_correlation
    assert field.variance(q) == pytest.approx(q, rel=1e-9)
    assert field.correlation(c) == pytest.approx(c, abs=1e-6)
    assert (field.phase == "chaotic") == (field.chi > 1) == (c < 1)
    assert 0 < field.depth_scale < math.inf


def test_erf_fixed_variance_and_chi_in_closed_form():
    field = MeanField("erf", 1.7, 0.3)
    q = field.fixed_variance
    assert q == pytest.approx(0.09 + 1.7**2 * 2 / math.pi * math.asin(2 * q / (1 + 2 * q)))
    # E erf'(u)² for u of variance q: 4/π E exp(-2u²).
    assert field.chi == pytest.approx(1.7**2 * 4 / math.pi / math.sqrt(1 + 4 * q))


@pytest.mark.parametrize(("sigma_w", "sigma_b"), [(0.5, 0.3), (1.0, 0.1), (1.3, 1.0)])
def test_relu_in_closed_form(sigma_w, sigma_b):
    """He et al. (2015): half of the variance passes, forward and back."""
    field = MeanField("relu", sigma_w, sigma_b)
    assert field.fixed_variance == pytest.approx(sigma_b**2 / (1 - sigma_w**2 / 2))
    assert field.chi == pytest.approx(sigma_w**2 / 2)
    assert field.fixed_correlation == 1
    assert field.depth_scale == pytest.approx(-1 / math.log(sigma_w**2 / 2))


def test_relu_without_a_fixed_variance_still_has_a_correlation():
    growing, dying = MeanField("relu", 1.6, 0.1), MeanField("relu", 1.2)
    assert (growing.fixed_variance, dying.fixed_variance) == (math.inf, 0)
    assert (growing.phase, dying.phase) == ("chaotic", "ordered")
    for field in (growing, dying):
        assert field.fixed_correlation == 1
        assert field.depth_scale == math.inf


def test_a_start_by_he_is_the_edge_of_relu():
    assert critical_sigma_w("relu") == pytest.approx(math.sqrt(2))
    field = MeanField("relu", math.sqrt(2))
    assert (field.phase, field.depth_scale) == ("edge", math.inf)


@pytest.mark.parametrize("name", ["tanh", "erf"])
def test_the_edge_without_biases_is_one_over_the_slope_at_zero(name):
    slope = {"tanh": 1.0, "erf": 2 / math.sqrt(math.pi)}[name]
    assert critical_sigma_w(name) == pytest.approx(1 / slope, abs=1e-4)


def test_depth_scale_grows_without_end_towards_the_edge():
    edge = critical_sigma_w("tanh", 0.2)
    for side in (-1, 1):
        near, nearer = (MeanField("tanh", edge + side * d, 0.2).depth_scale for d in (0.1, 0.01))
        assert nearer > 5 * near
    assert MeanField("tanh", edge, 0.2).phase == "edge"


def test_any_function_with_a_kink_at_zero_will_do():
    field = MeanField(lambda u: torch.where(u > 0, u, 0.1 * u), 1.0, 0.5)
    assert field.chi == pytest.approx((1 + 0.01) / 2)


@pytest.mark.parametrize("given", [("gelu", 1.0), (3, 1.0), ("tanh", -1.0), ("tanh", math.inf)])
def test_what_is_no_family_is_told(given):
    with pytest.raises(InitcheckError, match="pass"):
        MeanField(*given)


def test_no_edge_is_told():
    with pytest.raises(InitcheckError, match="no sigma_w"):
        critical_sigma_w(lambda u: 0 * u)
