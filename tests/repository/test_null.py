"""The measurements of the comparison run: every model fresh, every change made."""

from __future__ import annotations

import null
import power
import pytest
from null_models import MODELS

from pytest_initcheck.baseline import compare
from pytest_initcheck.baseline.samples import is_determined


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.slow) for n in list(MODELS)[::3]]
)
def test_a_fresh_start_of_each_model_matches_another(name):
    first, other, again = (null.record(name, seed) for seed in (0, 1, 0))
    assert compare(other, first).status == "match"
    assert is_determined(again.before, first.before)
    assert not is_determined(other.before, first.before)


def test_fixed_weights_leave_the_data_fresh():
    a, b = (null.record("mlp", seed, weights=5) for seed in (0, 1))
    digests = [r.before.layer("0").weights["weight"].digest for r in (a, b)]
    assert digests[0] == digests[1] != ""
    assert a.before.digests["batch"] != b.before.digests["batch"]


def test_what_was_called_changed_is_counted(capsys):
    records = [null.record("mlp", 0), null.record("mlp tanh of 16", 0), null.record("mlp", 1)]
    assert null.told("three", records, 0.0) == (2, 3)
    title, *_, told = capsys.readouterr().out.split("  ")
    assert title == "three"
    assert told.startswith("after inputs shape 2; after layer … ")


def test_the_interval_of_a_share_is_the_exact_one():
    low, high = null.interval(0, 100)
    assert (low, high) == (0.0, pytest.approx(1 - 0.025**0.01))
    assert null.interval(100, 100) == (pytest.approx(0.025**0.01), 1.0)


@pytest.mark.slow
def test_runs_over_fresh_seeds_match():
    a, b = (null.trained(seed) for seed in (0, 1))
    assert not set(a.seeds) & set(b.seeds)
    assert compare(b, a).status == "match"


@pytest.mark.slow
@pytest.mark.parametrize("name", list(power.CHANGES)[::3])
def test_each_change_is_one_that_the_same_seed_tells(name):
    of, make = power.CHANGES[name]
    changed = power.record(lambda: make(1.0), 0)
    assert compare(changed, power.record(power.PLAIN[of], 0)).status == "changed"
