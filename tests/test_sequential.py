"""Seeds in groups: the bounds keep the error rates of the design that takes all seeds."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binom, nct, t
from support.shares import chance_of_failing

from pytest_initcheck import InitcheckError, Sequential
from pytest_initcheck.sequential import LOST, NEVER, POWER, Stage, degrees, error, share_stage
from pytest_initcheck.statistics import failing_count

designs = st.builds(
    lambda least, more: Sequential(at_most=least + more, at_least=least),
    st.integers(2, 8),
    st.integers(1, 40),
)
probabilities = st.floats(0.05, 0.99)


@pytest.mark.parametrize(
    ("design", "looks"),
    [
        (Sequential(), (4, 8, 16)),
        (Sequential(8), (4, 8)),
        (Sequential(12), (4, 8, 12)),
        (Sequential(5, 2), (2, 4, 5)),
    ],
)
def test_groups_double_up_to_the_limit(design, looks):
    assert design.looks == looks


@pytest.mark.parametrize(
    ("most", "least"), [(4, 4), (16, 1), (16, 0), (True, 4), (16.0, 4), ("16", 4), (2, 8)]
)
def test_numbers_without_a_choice_are_refused(most, least):
    with pytest.raises(InitcheckError, match="pass whole numbers with 2 <= at_least < at_most"):
        Sequential(at_most=most, at_least=least)


@settings(max_examples=40, deadline=None)
@given(designs, st.integers(2, 32), st.floats(1e-9, 0.05))
def test_the_looks_share_the_error_rate(design, stored, alpha):
    stages = [Stage(design=design, seeds=n, stored=stored) for n in design.looks]
    assert math.fsum(stage.rejects_at(alpha) for stage in stages) == pytest.approx(alpha)
    for stage in stages[:-1]:
        assert (stage.rejects_at(alpha) > NEVER) == (min(stage.seeds, stored) >= 8)
    for stage in stages:
        assert stage.rejects_at(alpha) <= stage.accepts_at(alpha) <= 1
    assert stages[-1].accepts_at(alpha) == stages[-1].rejects_at(alpha)


@pytest.mark.parametrize(("design", "stored"), [(Sequential(8), 8), (Sequential(16), 16)])
@pytest.mark.parametrize("alpha", [5e-6 / 3, 1e-3])
def test_early_acceptance_costs_what_it_may(design, stored, alpha):
    """Simulated by Welch's test itself, at the change that the fixed design finds with 95 %."""
    most, source = design.at_most, np.random.default_rng(0)
    df = degrees(most, stored)
    centres = np.linspace(0, 60, 6001)
    power = 1 - nct.cdf(t.isf(alpha / 2, df), df, centres)
    shift = centres[np.argmax(power >= POWER)] * error(most, stored)
    draws, trials = source.normal(size=(20_000, most + stored)), 20_000
    lost = np.zeros(trials, dtype=bool)
    for seeds in design.looks[:-1]:
        mine, theirs = draws[:, :seeds] + shift, draws[:, most:]
        parts = mine.var(1, ddof=1) / seeds, theirs.var(1, ddof=1) / stored
        both = parts[0] + parts[1]
        dfs = both**2 / (parts[0] ** 2 / (seeds - 1) + parts[1] ** 2 / (stored - 1))
        seen = 2 * t.sf(np.abs(mine.mean(1) - theirs.mean(1)) / np.sqrt(both), dfs)
        lost |= seen >= Stage(design=design, seeds=seeds, stored=stored).accepts_at(alpha)
    assert 0 < lost.mean() <= LOST + 3 * math.sqrt(LOST / trials)


def failing(design, probability, share):
    """The exact probability that a claim fails, and those of each number of seeds taken."""
    going, failed, taken, before = {0: 1.0}, 0.0, {}, 0
    for seeds in design.looks:
        stage, step = share_stage(design, seeds, probability), seeds - before
        now: dict[int, float] = {}
        for count, weight in going.items():
            for more in range(step + 1):
                chance = weight * binom.pmf(more, step, share)
                now[count + more] = now.get(count + more, 0.0) + chance
        failed += math.fsum(w for s, w in now.items() if s <= stage.fails_at)
        going = {s: w for s, w in now.items() if stage.fails_at < s < stage.holds_at}
        taken[seeds] = math.fsum(now.values()) - math.fsum(going.values())
        before = seeds
    assert not going
    return failed, taken


@settings(max_examples=60, deadline=None)
@given(designs, probabilities)
def test_a_share_keeps_its_error_rates(design, probability):
    most = design.at_most
    false_alarm = failing(design, probability, probability)[0]
    # With few seeds no success at all fails, however likely that is.
    assert false_alarm <= max(0.05, chance_of_failing(probability, most, probability)) + 1e-9
    critical = failing_count(most, probability)
    assume(critical >= 0)
    shares = np.linspace(0, 1, 1001)
    found = shares[binom.cdf(critical, most, shares) >= POWER][-1]
    whole = chance_of_failing(float(found), most, probability)
    assert failing(design, probability, found)[0] >= whole - LOST - 2e-3


@pytest.mark.parametrize("design", [Sequential(8), Sequential(16), Sequential(32)])
def test_a_healthy_share_takes_at_most_half_of_the_seeds(design):
    taken = failing(design, 0.9, 0.98)[1]
    assert sum(p for seeds, p in taken.items() if seeds <= design.at_most / 2) > 0.5


@given(designs, probabilities)
def test_a_look_at_a_share_is_in_order_and_the_last_leaves_nothing_open(design, probability):
    stages = [share_stage(design, n, probability) for n in design.looks]
    assert all(stage.fails_at < stage.holds_at for stage in stages)
    critical = failing_count(design.at_most, probability)
    assert (stages[-1].fails_at, stages[-1].holds_at) == (critical, critical + 1)


def test_what_cannot_change_any_more_is_decided():
    first = share_stage(Sequential(8), 4, 1.0)
    assert first.fails_at == 3, "one that fails is too many"
    assert first.holds_at == 5, "all of four are not enough"
    assert share_stage(Sequential(8), 4, 0.0).holds_at == 0
