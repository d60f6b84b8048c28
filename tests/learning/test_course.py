"""What the losses of a trial say of it, with and without knowing what is at stake."""

from __future__ import annotations

import math

import pytest

from pytest_initcheck.learning.bounds import Stakes
from pytest_initcheck.learning.course import goal_of, is_flat, is_over, scale_of
from pytest_initcheck.sizes.exponent import slope_of

UNKNOWN = Stakes(first=4.0)
KNOWN = Stakes(first=4.0, constant=2.0, floor=0.0)
OPEN = Stakes(first=-1.0, is_open=True)


def test_without_a_constant_half_of_the_first_loss_is_the_goal():
    assert goal_of(UNKNOWN) == 2.0
    assert goal_of(KNOWN) == 1.0
    assert goal_of(OPEN) is None


def test_gains_are_judged_in_units_of_what_is_at_stake_or_of_the_loss():
    assert scale_of(UNKNOWN) == 4.0
    assert scale_of(KNOWN) == 2.0
    assert scale_of(Stakes(first=0.0)) == 1.0


def test_a_trial_that_is_not_finite_is_over_and_a_young_one_is_not():
    assert is_over([4.0, math.nan], KNOWN, 100, is_last=False)
    assert not is_over([4.0, 4.0], KNOWN, 100, is_last=False)
    assert not is_flat([4.0, 4.0], KNOWN)


@pytest.mark.parametrize("stakes", [UNKNOWN, KNOWN], ids=["unknown", "known"])
def test_a_loss_that_stands_still_is_over_whatever_is_at_stake(stakes):
    assert is_flat([4.0] * 60, stakes)
    assert is_over([4.0] * 60, stakes, 100, is_last=True)


def test_a_loss_without_a_goal_is_slow_and_one_on_its_way_is_not():
    falling = [-1.0 - 0.1 * step for step in range(60)]
    assert is_over(falling, OPEN, 100, is_last=False)
    assert not is_over(falling, OPEN, 100, is_last=True)
    assert not is_over([4 - 0.04 * s for s in range(60)], KNOWN, 100, is_last=False)
    assert is_over([4 - 0.005 * s for s in range(60)], KNOWN, 100, is_last=False)


def test_what_is_not_known_has_no_share():
    assert UNKNOWN.share(1.0) is None
    assert UNKNOWN.share_of_placed(1.0) is None
    assert KNOWN.share(1.0) == 0.5


def test_a_slope_needs_two_sizes():
    assert math.isnan(slope_of([64, 128], [1.0, 0.0]))
    assert slope_of([64, 128], [1.0, 2.0]) == pytest.approx(1.0)
