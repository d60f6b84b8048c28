"""What is said of the losses of the steps: blown up, spiked, back, learnt, how much is left."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_initcheck.evidence.loss_trajectory import BLOWN, LossTrajectory

INF, NAN = math.inf, math.nan
# A factor over less than that is infinite, which no loss of a model comes near.
values = st.floats(-1e6, 1e6).filter(lambda value: value == 0 or abs(value) > 1e-12)
losses = st.lists(values, min_size=2, max_size=8)


def way(*losses, chosen=True, **facts):
    return LossTrajectory(losses=losses, is_chosen=chosen, **facts)


@pytest.mark.parametrize(("losses", "factor"), [
    ((1.0, 2.0, 6.0), 6.0),
    ((1.0, 2.0, 4.9), 0.0),
    ((1.0, 80.0, 2.0), 0.0),
    ((1.0, NAN, NAN), INF),
    ((1.0, INF), INF),
    ((1.0, NAN, 0.5), INF),
    ((NAN, 3.0, 100.0), 0.0),
    ((INF, 3.0, 100.0), 0.0),
    ((-1.0, 0.0, 8.0), 8.0),
    ((-1.0, -8.0, -100.0), 0.0),
    ((0.0, 0.0, 0.0), 0.0),
])  # fmt: skip
def test_blown_up_is_where_the_steps_end(losses, factor):
    assert way(*losses).blown_up == factor
    assert way(*losses, chosen=False).blown_up == 0.0


@pytest.mark.parametrize(("losses", "factor"), [
    ((1.0, 8.0, 2.0), 8.0),
    ((1.0, 8.0, 1.5), 8.0),
    ((1.0, 8.0, 0.5), 0.0),  # fell below the start, and falls still
    ((1.0, 8.0, 0.5, 0.5), 8.0),  # at rest below the start: nothing is left to
    ((1.0, 4.0, 2.0), 0.0),
    ((1.0, NAN, 2.0), 0.0),
    ((2.0, 1.0, 0.5), 0.0),
    ((-1.0, 6.0, -0.5), 6.0),
])  # fmt: skip
def test_spiked_is_a_rise_that_has_not_come_back(losses, factor):
    assert way(*losses).spiked == factor
    assert way(*losses, chosen=False).spiked == 0.0


def test_a_spike_at_rest_below_the_start_is_back_where_the_input_was_used():
    losses = 1.0, 8.0, 0.5, 0.5
    assert way(*losses, constant=0.9, floor=0.0).spiked == 0.0
    assert way(*losses, constant=0.5, floor=0.0).spiked == 8.0


@pytest.mark.parametrize("name", ["uninformed", "constant"])
def test_a_rise_up_to_chance_is_no_blow_up(name):
    """Of a first loss near zero a factor says nothing."""
    assert way(0.1, 1.0, 2.0).blown_up == 20.0
    assert way(0.1, 1.0, 2.0, **{name: 2.3}).blown_up == 0.0
    assert way(0.1, 20.0, 2.0, **{name: 2.3}).spiked == 20.0 / 2.3
    assert way(0.1, 20.0, 23.0, **{name: 2.3}).blown_up == 10.0


@pytest.mark.parametrize(("losses", "still"), [
    ((3.0, 2.0, 1.0), True), ((3.0, 2.0, 2.0), False), ((3.0, 2.0, 1.999), False),
    ((3.0, 2.0, 2.5), False), ((1.0, -1.0, -2.0), True), ((1.0, -2.0, -2.0), False),
    ((3.0, 2.0, NAN), False),
])  # fmt: skip
def test_a_loss_recovers_while_it_falls(losses, still):
    assert way(*losses).recovers is still


@pytest.mark.parametrize(("losses", "rose", "fell"), [
    ((1.0, 1.2, 0.5), True, True),
    ((1.0, 1.04, 1.0), False, False),
    ((1.0, 0.9, 0.8), False, True),
    ((1.0, 0.9999, 0.9998), False, False),
    ((-1.0, -2.0, -1.8), True, True),
    ((-1.0, -1.5, -2.0), False, True),
    ((1.0, NAN, 0.5), False, True),
    ((1.0, 2.0, INF), False, False),
])  # fmt: skip
def test_rises_and_falls(losses, rose, fell):
    assert (way(*losses).rises, way(*losses).falls) == (rose, fell)


def test_a_fall_of_less_than_a_hundredth_is_tiny():
    assert way(1.0, 0.995).is_tiny
    assert not way(1.0, 0.98).is_tiny
    assert way(-1.0, -1.005).is_tiny
    assert not way(-1.0, -1.02).is_tiny


@pytest.mark.parametrize(("losses", "constant", "floor", "learnt"), [
    ((2.4, 1.0), 2.3, 0.0, True),
    ((2.4, 2.29), 2.3, 0.0, False),
    ((2.4, 2.1), 2.3, 0.0, True),
    ((0.5, 0.4), 2.3, 0.0, False),  # never stood above: nothing of it was learnt here
    ((2.4, 1.0), None, 0.0, False),
    ((2.4, 1.0), 2.3, None, False),
    ((2.4, NAN), 2.3, 0.0, False),
    ((2.4, NAN, 1.0), 2.3, 0.0, False),
    ((-1.0, -5.0), -2.0, -6.0, True),
    ((-1.0, -2.1), -2.0, -6.0, False),
])  # fmt: skip
def test_learnt_is_what_no_constant_prediction_has(losses, constant, floor, learnt):
    assert way(*losses, constant=constant, floor=floor).has_learnt is learnt


@pytest.mark.parametrize(("last", "constant", "floor", "left"), [
    (2.3, 2.3, 0.0, 1.0), (0.0, 2.3, 0.0, 0.0), (1.15, 2.3, 0.0, 0.5), (-4.0, -2.0, -6.0, 0.5),
    (4.6, 2.3, 0.0, 2.0), (1.0, None, 0.0, None), (1.0, 2.3, None, None), (1.0, 0.0, 0.0, None),
    (1.0, 0.0, 1.0, None),
])  # fmt: skip
def test_left_is_the_share_of_what_can_be_learnt(last, constant, floor, left):
    found = way(3.0, last, constant=constant, floor=floor).left
    assert found == (None if left is None else pytest.approx(left))


@given(losses, st.floats(1e-3, 1e3))
def test_a_loss_in_other_units_tells_the_same(losses, unit):
    assume(all(v == 0 or abs(v) > 1e-3 for v in losses))
    here, there = way(*losses), way(*(unit * v for v in losses))
    assert there.blown_up == pytest.approx(here.blown_up)
    assert there.spiked == pytest.approx(here.spiked)
    assert there.peak == pytest.approx(here.peak)


@given(losses)
def test_a_monotone_fall_is_never_a_fault(losses):
    falling = way(*sorted(losses, reverse=True))
    assume(falling.first >= 0 or falling.last < BLOWN * falling.first)
    assert not falling.blown_up
    assert not falling.spiked
    assert not falling.rises


@given(losses, st.none() | values, st.none() | values)
def test_what_is_measured_is_beyond_what_is_allowed(losses, constant, floor):
    """A finding that prints these numbers beside the limit tells the truth."""
    found = way(*losses, constant=constant, floor=floor)
    for factor in (found.blown_up, found.spiked):
        assert factor == 0.0 or factor > BLOWN
    assert found.scale >= abs(found.first)
    if found.blown_up:
        assert found.last == pytest.approx(found.blown_up * found.scale)
    if found.left is not None and found.has_learnt:
        assert found.left < 0.95 + 1e-9
