"""How many independent samples a batch, and the moments of a tensor, amount to."""

from __future__ import annotations

import statistics

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.effective_samples import EffectiveSamples
from pytest_initcheck.capture.tensor_stats import summarise

SEEDS = range(21)


def stream(seed):
    return torch.Generator().manual_seed(seed)


def normal(seed, *shape):
    return torch.randn(shape, generator=stream(seed))


def grouped(seed, *shape, size=16):
    """Rows of which each ``size`` in a row are nearly alike."""
    few = normal(seed, shape[0] // size, *shape[1:])
    return few.repeat_interleave(size, 0) + 0.1 * normal(seed + 1000, *shape)


def student(seed, *shape):
    """Values of Student's distribution with 2.5 degrees, which has no fourth moment."""
    return torch.from_numpy(np.random.default_rng(seed).standard_t(2.5, shape)).float()


def effective(*tensors):
    ledger = DeferredRead()
    found = EffectiveSamples(tensors, ledger)
    ledger.read()
    return found.number()


def independent(tensor):
    ledger = DeferredRead()
    summary = summarise(tensor, ledger, is_data=True)
    ledger.read()
    return summary.stats(ledger).independent


def median_over_seeds(measure):
    return statistics.median(measure(seed) for seed in SEEDS)


# Effective samples


@pytest.mark.parametrize("shape", [(64, 20), (64, 3, 8, 8)])
def test_independent_rows_count_nearly_all(shape):
    assert median_over_seeds(lambda seed: effective(normal(seed, *shape))) > 50


def test_rows_of_one_normal_value_count_for_a_third_as_their_squares_weigh():
    # The sum of squares, squared, over the sum of fourth powers: n over the kurtosis.
    found = median_over_seeds(lambda seed: effective(normal(seed, 1024, 1)))
    assert found == pytest.approx(1024 / 3, rel=0.1)


@pytest.mark.parametrize("shape", [(64, 20), (64, 3, 8, 8)])
def test_rows_in_groups_of_sixteen_count_as_few(shape):
    assert median_over_seeds(lambda seed: effective(grouped(seed, *shape))) < 10


def test_a_random_walk_of_rows_counts_as_few():
    walk = median_over_seeds(lambda seed: effective(normal(seed, 128, 8).cumsum(0)))
    assert walk < 20


@pytest.mark.parametrize("classes", [2, 3, 4, 5])
def test_labels_that_take_turns_are_no_repetition(classes):
    assert effective(torch.arange(60) % classes) > 60 / 2
    assert effective((torch.arange(60) * classes // 60).float()) < 10


def test_a_few_rows_that_outweigh_all_others_count_alone():
    rows = normal(0, 64, 20)
    rows[:2] *= 100
    assert 1 <= effective(rows) < 4


def test_integers_do_not_weigh():
    # Labels of large numbers are no larger samples.
    labels = torch.randint(0, 5, (64,), generator=stream(0))
    labels[3] = 10_000
    assert effective(labels) > 30
    assert effective(labels.float()) < 2


def test_the_least_of_all_tensors_counts():
    inputs, targets = normal(0, 64, 20), torch.arange(4).repeat_interleave(16)
    both = effective(inputs, targets)
    assert both == effective(targets) < 20 < effective(inputs)


def test_tensors_without_a_row_for_each_sample_are_left_out():
    inputs = normal(0, 64, 20)
    others = (torch.tensor(3.0), grouped(0, 32, 4), torch.eye(64).to_sparse(), torch.empty(64, 0))
    assert effective(inputs, *others) == effective(inputs)


def test_nothing_is_known_of_few_rows_or_none():
    assert effective() is None
    assert effective(torch.tensor(1.0)) is None
    assert effective(normal(0, 2, 5)) is None
    assert effective(torch.empty(0, 5)) is None


@pytest.mark.parametrize("value", [0.0, 3.0, float("nan"), float("inf"), 1e30])
def test_rows_that_tell_nothing_count_in_full(value):
    assert effective(torch.full((16, 3), value)) == 16


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.integers(3, 70),
    st.integers(1, 5),
    st.sampled_from(["float16", "bfloat16", "float32", "float64", "complex64", "int64", "bool"]),
    st.integers(0, 99),
)
def test_the_number_lies_between_one_and_the_rows(rows, columns, dtype, seed):
    values = (normal(seed, rows, columns) * 4).to(getattr(torch, dtype))
    assert 1 <= effective(values) <= rows
    # Which scale and which place the values have is no matter.
    if dtype == "float64":
        assert effective(values * 2.0**20) == pytest.approx(effective(values))


def test_a_record_says_it_for_its_batch():
    torch.manual_seed(0)
    model, labels = nn.Linear(20, 3), torch.arange(64) % 3
    plain = diagnose(model, (normal(0, 64, 20), labels[torch.randperm(64)]), checks=())
    tied = diagnose(model, (grouped(0, 64, 20), labels), checks=())
    assert tied.record.effective_samples < 10 < 30 < plain.record.effective_samples
    assert tied.after.effective_samples == tied.record.effective_samples


# Independent values of a tensor's moments


def test_normal_values_are_as_many_as_there_are():
    found = [independent(normal(seed, 256, 40)) for seed in SEEDS]
    for moment in (0, 1):
        median = statistics.median(pair[moment] for pair in found)
        assert 0.8 * 256 * 40 < median <= 256 * 40


def test_values_that_a_row_shares_count_once():
    # A shift of each row moves the mean as one value does.
    found = [independent(normal(seed, 256, 40) + 30 * normal(seed + 99, 256, 1)) for seed in SEEDS]
    assert statistics.median(pair[0] for pair in found) == pytest.approx(256, rel=0.15)
    # Its own scale moves the variance so, and leaves the mean.
    scaled = [independent(normal(s, 256, 40) * normal(s + 99, 256, 1).exp()) for s in SEEDS]
    assert statistics.median(pair[1] for pair in scaled) < 200
    assert statistics.median(pair[0] for pair in scaled) > 5000


def test_heavy_tails_leave_few_values_for_the_variance():
    found = [independent(student(seed, 256, 20)) for seed in SEEDS]
    assert statistics.median(pair[1] for pair in found) < 256 * 20 / 10


def test_only_data_of_floating_values_with_rows_have_them():
    ledger = DeferredRead()
    plain = summarise(normal(0, 8, 3), ledger)
    ledger.read()
    assert plain.stats(ledger).independent == ()
    assert independent(torch.arange(12).reshape(4, 3)) == ()
    assert independent(torch.tensor(1.0)) == ()
    assert independent(torch.empty(0, 3)) == ()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e30, 0.0])
def test_they_are_numbers_whatever_the_values(bad):
    values = torch.full((8, 3), bad)
    values[0] = 1.0
    for tensor in (values, torch.full((8, 3), bad)):
        assert all(1 <= number <= tensor.numel() for number in independent(tensor))


@pytest.mark.filterwarnings("error")
def test_one_row_has_none():
    assert independent(normal(0, 1, 5)) == ()
    model = nn.Linear(5, 3)
    one = diagnose(model, (normal(0, 1, 5), torch.tensor([1])), checks=()).record
    assert (one.effective_samples, one.inputs.independent) == (None, ())
