"""Reads a curve of losses: whether it fits, falls, stands still or diverges."""

from __future__ import annotations

import math
from collections.abc import Sequence

from pytest_initcheck.evidence.learning import FITTED, Course
from pytest_initcheck.learning.bounds import Stakes

# Where no constant prediction is known, half of the first loss, if no loss can be below zero.
_HALF = 0.5
# In so many steps Adam's moments have settled (1 / (1 - beta1) = 10 steps, thrice).
PATIENCE = 30
# Below this part of what is at stake, PATIENCE steps have gained nothing.
_GAIN = 0.01
# A hundred steps that gain less would have to be repeated ten thousand times.
_STILL = 1e-4
# Of the mean pace.
_STOPPED = 0.1


def scale_of(stakes: Stakes) -> float:
    """The loss in units of which gains are judged: what is at stake, else the loss itself."""
    worth = stakes.worth
    if worth:
        return max(worth, abs(stakes.first - (stakes.constant or 0.0)) * _GAIN)
    return abs(stakes.first) or 1.0


def goal_of(stakes: Stakes) -> float | None:
    """The loss at which a model has fitted its batch, None where that is not known."""
    if stakes.worth and stakes.constant is not None:
        return stakes.constant - FITTED * stakes.worth
    is_unknown = stakes.constant is None and not stakes.is_open and stakes.first > 0
    return _HALF * stakes.first if is_unknown else None


def is_over(losses: Sequence[float], stakes: Stakes, steps: int, *, is_last: bool) -> bool:
    """Whether more steps, of ``steps`` at most, would not get the loss to its goal.

    ``is_last``: nothing else is left to be tried, so that only a loss that stands still is over.
    """
    if not math.isfinite(losses[-1]):
        return True
    if len(losses) <= PATIENCE:
        return False
    return is_flat(losses, stakes) or (not is_last and _is_slow(losses, stakes, steps))


def is_flat(losses: Sequence[float], stakes: Stakes) -> bool:
    """Whether the last steps gained nothing on those before them."""
    if len(losses) <= PATIENCE:
        return False
    before, lately = min(losses[:-PATIENCE]), min(losses[-PATIENCE:])
    return before - lately < _GAIN * min(scale_of(stakes), abs(before - _least(stakes)) or 1.0)


def _least(stakes: Stakes) -> float:
    return stakes.floor if stakes.floor is not None else min(0.0, stakes.first)


def _is_slow(losses: Sequence[float], stakes: Stakes, steps: int) -> bool:
    goal, half = goal_of(stakes), PATIENCE // 2
    if goal is None:
        return True
    pace = (min(losses[:-half]) - min(losses[-half:])) / half
    return pace <= 0 or (min(losses) - goal) / pace > steps - (len(losses) - 1)


def course_of(losses: Sequence[float], stakes: Stakes, *, has_fitted: bool) -> Course:
    """What a curve is called."""
    if has_fitted:
        return "fits"
    if not all(map(math.isfinite, losses)):
        return "diverges"
    third = max(len(losses) // 3, 1)
    end, scale = min(losses[-third:]), scale_of(stakes)
    if end > losses[0] + _GAIN * scale:
        return "diverges"
    if losses[0] - end < _STILL * scale * len(losses) / 100 or _has_stopped(losses, stakes):
        return "stands still"
    return "falls"


def _has_stopped(losses: Sequence[float], stakes: Stakes) -> bool:
    """Whether a loss that fell does so no more; a small rate is slow from the first step on."""
    if not is_flat(losses, stakes):
        return False
    lately = min(losses[:-PATIENCE]) - min(losses[-PATIENCE:])
    gained = losses[0] - min(losses)
    return lately / PATIENCE < _STOPPED * gained / len(losses)
