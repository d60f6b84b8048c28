"""Summaries of tensors hold what numpy computes from the same values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.tensor_stats import BINS, SAMPLE, summarise

quickly = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def stats(tensor):
    ledger = DeferredRead()
    summary = summarise(tensor, ledger)
    ledger.read()
    return summary.stats(ledger)


def check(found, values, *, rtol):
    """``found`` against numpy's float64 arithmetic on the finite ones of ``values``."""
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    finite = flat[np.isfinite(flat)]
    assert found.n == flat.size
    assert found.nonfinite == flat.size - finite.size
    assert found.zero_share == (float((flat == 0).mean()) if flat.size else 0.0)
    if not finite.size:
        assert (found.mean, found.std, found.min, found.max) == (None,) * 4
        assert found.histogram is None
        return
    size = float(np.abs(finite).max())
    assert found.min == finite.min()
    assert found.max == finite.max()
    assert found.mean == pytest.approx(finite.mean(), rel=rtol, abs=rtol * size)
    assert found.std == pytest.approx(finite.std(), rel=rtol, abs=rtol * size)


def check_histogram(found, values):
    flat = np.asarray(values, dtype=np.float64).reshape(-1)
    finite = flat[np.isfinite(flat)]
    histogram = found.histogram
    assert (histogram.low, histogram.high) == (finite.min(), finite.max())
    assert len(histogram.counts) == BINS
    assert sum(histogram.counts) == finite.size
    if histogram.high > histogram.low:
        # A value at an edge may fall on either side of it by rounding, so edges are compared.
        below = np.cumsum(histogram.counts)[:-1]
        width = histogram.high - histogram.low
        for edge, count in zip(histogram.edges[1:-1], below, strict=True):
            # Numbers below the smallest normal one are not told apart.
            slack = max(1e-5 * width, np.finfo(np.float64).tiny)
            assert (finite < edge - slack).sum() <= count <= (finite <= edge + slack).sum()


shapes = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@quickly
@given(arrays.arrays(np.float64, shapes, elements=st.floats(-1e6, 1e6) | st.just(0.0)))
def test_float64_equals_numpy(values):
    found = stats(torch.as_tensor(values))
    check(found, values, rtol=1e-12)
    if values.size:
        check_histogram(found, values)


@quickly
@given(
    arrays.arrays(
        np.float32,
        shapes,
        elements=st.floats(-1e4, 1e4, width=32) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0]),
    )
)
def test_float32_with_nan_and_infinity_equals_numpy_on_the_finite_values(values):
    found = stats(torch.as_tensor(values))
    check(found, values, rtol=1e-5)
    if np.isfinite(values).any():
        check_histogram(found, values)


@quickly
@given(arrays.arrays(np.int64, shapes, elements=st.integers(-(2**20), 2**20)))
def test_integers_are_summarised_as_numbers(values):
    check(stats(torch.as_tensor(values)), values, rtol=1e-5)


@quickly
@given(st.floats(-(2.0**100), 2.0**100, width=32), st.integers(1, 40))
def test_a_constant_has_no_spread_and_one_bin(value, count):
    found = stats(torch.full((count,), value))
    assert found.std <= 1e-6 * abs(value)
    assert found.min == found.max
    assert max(found.histogram.counts) == sum(found.histogram.counts) == count


def test_denormals_are_not_zero():
    values = torch.tensor([1e-41, -1e-42, 0.0, 3e-39])
    found = stats(values)
    assert found.zero_share == 0.25
    assert found.max == float(values.max())
    assert sum(found.histogram.counts) == 4


@pytest.mark.parametrize("size", [1e20, 1e30, 3e38])
def test_huge_values_do_not_overflow_the_moments(size):
    values = torch.linspace(-1, 1, 11) * size
    check(stats(values), values.numpy(), rtol=1e-5)


def test_huge_values_are_binned_over_their_whole_range():
    values = torch.linspace(-1, 1, 3201) * 3e38
    counts = stats(values).histogram.counts
    assert sum(counts) == 3201
    assert max(counts) <= 110


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_the_dtype_and_shape_are_those_of_the_tensor(dtype):
    found = stats(torch.arange(12.0).reshape(3, 4).to(dtype))
    assert (found.dtype, found.shape) == (str(dtype).removeprefix("torch."), (3, 4))
    check(found, np.arange(12.0), rtol=1e-6)


def test_complex_values_are_summarised_by_their_modulus():
    values = torch.randn(4, 5, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    found = stats(values)
    assert found.dtype == "complex64"
    check(found, values.abs().numpy(), rtol=1e-5)


def test_booleans_and_scalars_are_summarised():
    check(stats(torch.tensor([True, False, True])), [1, 0, 1], rtol=1e-6)
    check(stats(torch.tensor(2.5)), [2.5], rtol=1e-6)


def test_a_long_tensor_is_sampled_for_the_histogram_alone():
    values = torch.randn(3 * SAMPLE + 7, generator=torch.Generator().manual_seed(0))
    found = stats(values)
    check(found, values.numpy(), rtol=1e-5)
    share = np.array(found.histogram.counts) / sum(found.histogram.counts)
    wanted, _ = np.histogram(
        values.numpy(), bins=BINS, range=(found.histogram.low, found.histogram.high)
    )
    assert sum(found.histogram.counts) >= SAMPLE // 2
    np.testing.assert_allclose(share, wanted / wanted.sum(), atol=6 / np.sqrt(SAMPLE) / 2)


def test_a_view_with_strides_is_summarised_by_its_values():
    base = torch.arange(24.0).reshape(4, 6)
    check(stats(base.t()[::2]), base.t()[::2].numpy(), rtol=1e-6)


def test_both_parts_merge_to_the_summary_of_the_whole():
    whole = torch.randn(400, generator=torch.Generator().manual_seed(1))
    merged = stats(whole[:150]).merged(stats(whole[150:]))
    check(merged, whole.numpy(), rtol=1e-5)


def test_one_read_fetches_everything():
    ledger = DeferredRead()
    summaries = [summarise(torch.full((3,), float(i)), ledger) for i in range(5)]
    ledger.read()
    later = summarise(torch.full((2,), 9.0), ledger)
    ledger.read()
    assert [s.stats(ledger).mean for s in summaries] == [0, 1, 2, 3, 4]
    assert later.stats(ledger).mean == 9


@quickly
@given(
    st.lists(
        arrays.arrays(
            np.float32,
            st.integers(1, 40),
            elements=st.floats(-1e4, 1e4, width=32) | st.sampled_from([np.nan, np.inf, 0.0]),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_small_tensors_that_are_read_together_have_each_their_own_statistics(each):
    ledger = DeferredRead()
    kept = [torch.as_tensor(values.copy()) for values in each]
    summaries = [summarise(values, ledger) for values in kept]
    for values in kept:
        # Who owns a tensor goes on with it before the ledger is read.
        values.fill_(7.0)
    ledger.read()
    for summary, values in zip(summaries, each, strict=True):
        check(summary.stats(ledger), values, rtol=1e-6)


@pytest.mark.parametrize("count", [1 << 11, 1 << 12, (1 << 17) + 1, 1 << 18])
def test_pieces_and_sizes_leave_no_seam(count):
    values = np.random.default_rng(count).standard_normal(count).astype(np.float32)
    values[::7] = 0.0
    found = stats(torch.as_tensor(values))
    check(found, values, rtol=1e-6)
    sampled = values[:: max(1, -(-count // SAMPLE))]
    low, high = float(values.min()), float(values.max())
    wanted = np.histogram(sampled, BINS, (low, high))[0]
    assert np.abs(np.array(found.histogram.counts) - wanted).max() <= 2


@pytest.mark.parametrize("count", [5, 1 << 12])
@pytest.mark.parametrize("bad", [None, float("nan"), float("inf")])
def test_a_part_is_what_the_whole_says_of_it(count, bad):
    values = torch.linspace(-1.0, 3.0, count)
    if bad is not None:
        values[2] = bad
    whole = stats(values)
    for of, names in (("moments", ("mean", "std")), ("range", ("min", "max"))):
        ledger = DeferredRead()
        summary = summarise(values, ledger, of=of)
        ledger.read()
        part = summary.stats(ledger)
        assert (part.n, part.nonfinite, part.histogram) == (whole.n, whole.nonfinite, None)
        for name in names:
            assert getattr(part, name) == pytest.approx(getattr(whole, name), rel=1e-5)
