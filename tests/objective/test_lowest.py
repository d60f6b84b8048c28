"""The search for the lowest loss: near the floor at any scale, and no floor where there is none."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pytest_initcheck.objective.lowest import lowest

QUICK = settings(max_examples=15, deadline=None, derandomize=True)
seeds = st.integers(0, 999)
sizes = st.floats(-3, 6).map(lambda exponent: 10.0**exponent)


def drawn(seed, *shape, scale=1.0):
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def found(function, *start):
    return lowest(lambda points: function(*points), start)


@QUICK
@given(seeds, sizes, sizes)
def test_a_squared_error_of_any_scale_ends_near_zero(seed, scale, shift):
    target = drawn(seed, 64, 3, scale=scale) + shift
    result = found(lambda x: (x - target).square().mean(), drawn(seed + 1, 64, 3))
    worth = float(target.var())
    assert 0 <= result.value <= 1e-3 * worth + 1e-9 * (shift**2 + 1)
    assert not result.is_bottomless


@QUICK
@given(seeds, sizes, st.lists(st.floats(-2, 2), min_size=2, max_size=6), st.floats(-100, 100))
def test_a_convex_quadratic_ends_near_its_floor(seed, scale, exponents, floor):
    """Of any curvature per value, with a floor that need not be zero."""
    curvature = torch.tensor([10.0**e for e in exponents])
    target = drawn(seed, len(exponents), scale=scale)

    def function(x):
        return (curvature * (x - target).square()).sum() + floor

    start = torch.zeros_like(target)
    first, result = float(function(start)), found(function, start)
    assert result.value - floor <= 1e-3 * (first - floor) + 1e-5 * (1 + abs(floor))
    assert result.value == pytest.approx(float(function(*result.at)), rel=1e-6)
    assert not result.is_bottomless


@QUICK
@given(seeds, st.floats(0, 1))
def test_values_that_depend_on_each_other_are_found_together(seed, mixing):
    """Neighbours that are added before they are compared."""
    target = drawn(seed, 32, scale=5.0)
    result = found(lambda x: (x + 0.5 * mixing * x.roll(1) - target).square().mean(),
                   torch.zeros(32))  # fmt: skip
    assert result.value <= 1e-2 * float(target.square().mean())


@QUICK
@given(seeds, st.integers(2, 50), st.floats(0.1, 30))
def test_cross_entropy_ends_near_zero(seed, classes, size):
    targets = torch.arange(64) % classes
    result = found(lambda x: functional.cross_entropy(x, targets), drawn(seed, 64, classes,
                   scale=size))  # fmt: skip
    assert 0 <= result.value < 1e-3
    assert not result.is_bottomless


@QUICK
@given(seeds, st.floats(0, 0.5))
def test_binary_cross_entropy_ends_at_the_entropy_of_its_targets(seed, smoothing):
    targets = (drawn(seed, 64, 1) > 0).float() * (1 - 2 * smoothing) + smoothing
    floor = float(functional.binary_cross_entropy(targets, targets))
    result = found(lambda x: functional.binary_cross_entropy_with_logits(x, targets),
                   drawn(seed + 1, 64, 1))  # fmt: skip
    assert result.value == pytest.approx(floor, abs=2e-3)
    assert not result.is_bottomless


BOUNDED = {
    "tanh": (torch.tanh, -1.0),
    "minus tanh": (lambda x: -torch.tanh(x), -1.0),
    "sigmoid": (torch.sigmoid, 0.0),
    "hard sigmoid": (functional.hardsigmoid, 0.0),
    "softmax": (lambda x: -x.softmax(-1)[..., 0], -1.0),
    "softplus": (functional.softplus, 0.0),
    "exponential": (torch.exp, 0.0),
    "cosine of an angle": (torch.cos, -1.0),
    "norm": (lambda x: functional.normalize(x)[:, 0], -1.0),
}


@pytest.mark.parametrize("name", BOUNDED)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=seeds, size=st.floats(0.1, 3))
def test_bounded_functions_come_to_their_infimum(name, seed, size):
    function, infimum = BOUNDED[name]
    # Beyond three a hard sigmoid shows no way out.
    start = drawn(seed, 32, 4, scale=size).clamp(-2.9, 2.9)
    result = found(lambda x: function(x).mean(), start)
    assert infimum - 1e-6 <= result.value <= infimum + 1e-3
    assert not result.is_bottomless


BOTTOMLESS = {
    "linear": lambda x: x.mean(),
    "minus the square": lambda x: -x.square().mean(),
    "a raw score": lambda x: functional.nll_loss(x, torch.arange(32) % 4),
    "the wrong sign": lambda x: -functional.cross_entropy(x, torch.arange(32) % 4),
    "a label of 2": lambda x: functional.binary_cross_entropy_with_logits(x, torch.full_like(x, 2)),
    "minus a log of a sum": lambda x: -x.logsumexp(1).mean(),
}


@QUICK
@given(seeds, st.floats(0.1, 10))
def test_a_logarithm_falls_slowly_but_without_end(seed, size):
    result = found(lambda x: -x.abs().log1p().mean(), drawn(seed, 32, 4, scale=size))
    assert result.is_bottomless
    assert -100 < result.value < -10


@pytest.mark.parametrize("name", BOTTOMLESS)
@settings(max_examples=6, deadline=None, derandomize=True)
@given(seed=seeds, size=st.floats(0.1, 10))
def test_what_falls_without_end_is_said_to(name, seed, size):
    result = found(BOTTOMLESS[name], drawn(seed, 32, 4, scale=size))
    assert result.is_bottomless
    assert result.value < -1e3


@QUICK
@given(seeds, st.floats(0.0, 1e4), sizes)
def test_a_floor_below_zero_is_no_missing_one(seed, depth, scale):
    target = drawn(seed, 32, scale=scale)
    result = found(lambda x: functional.smooth_l1_loss(x, target) - depth, torch.zeros(32))
    assert not result.is_bottomless or depth > 1e4
    assert result.value >= -depth - 1e-3 * (1 + depth)


def test_a_loss_whose_domain_ends_by_an_error_is_still_searched():
    """Binary cross-entropy refuses what is no probability."""
    targets = (torch.arange(32) % 2).float()
    result = found(lambda x: functional.binary_cross_entropy(x, targets), torch.full((32,), 0.5))
    assert result.value < 0.05
    assert all(0 <= float(p) <= 1 for p in result.at[0])


@pytest.mark.parametrize(("function", "floor"), [
    (lambda x: (x.log() - 1).square().mean(), 0.0),
    (lambda x: (x - x.log()).mean(), 1.0),
    (lambda x: (x.sqrt() - 0.2).square().mean(), 0.0),
    (lambda x: (1 - x).log().neg().mean(), None),
])  # fmt: skip
def test_a_loss_whose_domain_ends_in_nan_is_still_searched(function, floor):
    result = found(function, torch.full((16,), 0.5))
    assert math.isfinite(result.value)
    assert bool(torch.isfinite(result.at[0]).all())
    if floor is not None:
        assert result.value == pytest.approx(floor, abs=1e-2)


@pytest.mark.parametrize("function", [
    lambda x: x.sum() * math.nan,
    lambda x: (x * 0).log().mean(),
    lambda x: torch.linalg.cholesky(-torch.eye(4) * x.sum()).sum(),
    lambda x: {}["missing"],
])  # fmt: skip
def test_where_no_start_is_inside_the_domain_nothing_is_found(function):
    result = found(function, torch.ones(4))
    assert result.value == math.inf
    assert not result.is_bottomless


@QUICK
@given(seeds, st.integers(1, 4))
def test_no_start_gets_worse_and_none_is_changed(seed, many):
    starts = [drawn(seed + i, 8, 2) for i in range(many)]
    kept = [start.clone() for start in starts]

    def function(points):
        return sum((p.sin() + 0.1 * p.square()).mean() for p in points)

    result = lowest(function, starts)
    assert result.value <= float(function(starts)) + 1e-6
    assert result.value == pytest.approx(float(function(result.at)), rel=1e-5, abs=1e-6)
    assert all(torch.equal(a, b) for a, b in zip(starts, kept, strict=True))
    assert not any(at.requires_grad for at in result.at)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_tensor_that_the_function_does_not_read_stays_where_it_is(dtype):
    idle, start = torch.ones(3, dtype=dtype), torch.ones(4, dtype=dtype)
    result = lowest(lambda points: points[0].square().sum(), [start, idle])
    assert torch.equal(result.at[1], idle)
    assert result.at[0].dtype is dtype
    assert result.value < 1e-4


def test_the_search_is_the_same_each_time_and_ends():
    calls = []

    def function(points):
        calls.append(1)
        return (points[0] - 3).abs().mean()

    first, second = (lowest(function, [torch.zeros(5)], rounds=30) for _ in range(2))
    assert first.value == second.value
    assert torch.equal(first.at[0], second.at[0])
    assert len(calls) <= 60
