"""Runs with some of the baseline's seeds: what is chance, what has changed, what is open."""

import dataclasses
import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm, ttest_ind

from pytest_initcheck import Sequential
from pytest_initcheck.baseline import compare, freeze
from pytest_initcheck.baseline.looks import look
from pytest_initcheck.records import RunRecord
from pytest_initcheck.sequential import Stage

MOST = 16
SEEDS = tuple(range(MOST))


def drawn(seed, shift=0.0, around=10.0):
    source = random.Random(seed)
    return [around + shift + source.gauss(0, 1) for _ in SEEDS]


def run(values, count=MOST, seeds=SEEDS, **fields):
    return RunRecord(seeds=seeds[:count], metrics={"loss": tuple(values[:count])}, **fields)


def stage(count, most=MOST):
    return Stage(design=Sequential(most), seeds=count, stored=most)


def decision(actual, expected):
    return look(actual, freeze(expected), stage(len(actual.seeds))).decision


FRESH = tuple(range(100, 100 + MOST))


def test_most_unchanged_runs_stop_at_the_first_look():
    found = [decision(run(drawn(i), 4), run(drawn(1000 + i), seeds=FRESH)) for i in range(100)]
    assert found.count("within chance") > 75
    assert "changed" not in found


def test_a_change_goes_on_until_it_is_known():
    moved, stored = drawn(1, shift=6.0), run(drawn(2), seeds=FRESH)
    path = [decision(run(moved, count), stored) for count in Sequential(MOST).looks]
    assert path[0] == "open"
    assert path[-1] == "changed"


@pytest.mark.parametrize("seed", range(6))
def test_the_last_look_leaves_nothing_open(seed):
    actual, expected = run(drawn(seed, shift=1.5)), run(drawn(9), seeds=FRESH)
    assert decision(actual, expected) != "open"


def test_the_statistic_is_as_significant_as_welch_says():
    mine, theirs = drawn(3, shift=1.0), drawn(4)
    found = look(run(mine, 8), freeze(run(theirs, seeds=FRESH)), stage(8))
    p = ttest_ind(mine[:8], theirs, equal_var=False).pvalue
    assert found.statistic == pytest.approx(norm.isf(p / 2), abs=0.01)
    assert found.about == "metric loss"
    assert [bounds.seeds for bounds in found.bounds] == [4, 8, 16]
    first, second, last = found.bounds
    assert first.rejects is None, "four seeds are not enough to reject"
    assert first.accepts < second.accepts < second.rejects
    assert last.accepts == last.rejects < second.rejects


@given(st.lists(st.floats(-1e6, 1e6), min_size=MOST, max_size=MOST, unique=True))
def test_what_the_same_seeds_repeat_is_never_open(values):
    curves = {"loss": tuple((value, value / 2) for value in values)}
    whole = run(values, curves=curves)
    part = run(values, 4, curves={"loss": curves["loss"][:4]})
    assert decision(part, whole) == "within chance"


def test_a_wrong_setting_is_known_at_once():
    expected = run(drawn(1), meta={"epochs": "3"})
    found = look(run(drawn(1), 4, meta={"epochs": "4"}), freeze(expected), stage(4))
    assert (found.decision, found.about) == ("changed", "configured epochs")
    assert found.statistic == math.inf


def test_what_is_too_small_to_count_needs_no_more_seeds():
    expected = run(drawn(1, around=1e4), seeds=FRESH)
    moved = run(drawn(2, shift=3.0, around=1e4), 4)
    assert decision(moved, expected) == "within chance"
    assert look(moved, freeze(expected), stage(4), least=0.0).decision == "open"


def test_a_seed_that_is_lost_in_the_baseline_may_be_missing_from_a_few():
    values = [*drawn(1)[:-1], math.nan]
    part = run(drawn(1), 4)
    assert decision(part, run(values)) == "within chance"
    assert compare(run(drawn(1)), run(values)).status == "changed"
    lost = run([math.nan, *drawn(1)[1:]], 8)
    assert decision(lost, run(drawn(1))) == "changed"


def test_too_few_other_seeds_are_open():
    design = Stage(design=Sequential(16, 2), seeds=2, stored=16)
    expected = freeze(run(drawn(2), seeds=FRESH))
    assert look(run(drawn(1), 2), expected, design).decision == "open"


def test_differences_seed_by_seed_are_sharper():
    """The seeds vary by 10, what was changed by .1 from seed to seed."""
    source = random.Random(0)
    theirs = [100 + source.gauss(0, 10) for _ in SEEDS]
    mine = [value + 3 + source.gauss(0, 0.1) for value in theirs]
    stored = freeze(run(theirs))
    assert look(run(mine, 8), stored, stage(8)).decision == "changed"
    apart = dataclasses.replace(run(theirs), seeds=FRESH)
    assert look(run(mine, 8), freeze(apart), stage(8)).decision != "changed"


def test_a_look_has_a_part_of_the_error_rate():
    """What all seeds may call changed, the first eight may not yet, and four never."""
    theirs = drawn(2)
    middle, spread = statistics.fmean(theirs), statistics.stdev(theirs)
    stored, found = run(theirs, seeds=FRESH), set()
    for shift in range(60):
        values = [middle + shift * spread / 8 + 0.1 * i for i in range(8)]
        early = compare(run(values, 4), stored, stage=stage(4)).status
        half, whole = run(values, 8), compare(run(values, 8), stored).status
        found.add((early, compare(half, stored, stage=stage(8)).status, whole))
    assert found == {("match", "match", "match"), ("match", "match", "changed"),
                     ("match", "changed", "changed")}  # fmt: skip
