"""Seeds in groups: after which of them a verdict over seeds may stop, its error rates kept.

A bound is reached before the last look in two ways. *Against* a claim a tenth of the error rate is
spent, evenly over those looks, and nine tenths remain for the last (Haybittle, British Journal of
Radiology 44, 1971; Peto et al., British Journal of Cancer 34, 1976); fewer than eight means are
never held against it. *For* it two points of the power are spent (Pampallona and Tsiatis, Journal
of Statistical Planning and Inference 42, 1994): a look that sees so little would, under the change
that the fixed design finds with 95 %, be seen with that probability. Both add up over the looks
without regard to how these depend on each other (Bonferroni), so that they hold for t and for
counts alike and need no table.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.statistics import CONFIDENCE, at_most_chance, failing_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

EARLY = 0.1  # the part of an error rate that looks before the last one share
POWER = 0.95  # of the fixed design, at the change that it is held against
LOST = 0.02  # what all early stops together may take off that power
FEWEST = 2  # seeds without which there is no spread
# Seeds of two kinds may all be of one kind among four of them, so that t finds a hundred times as
# many changes as it should (benchmarks/sequential.py); from eight on it does as well as with all.
REJECTING = 8
NEVER = 1e-80  # a level that no chance reaches, for which t still has quantiles


@dataclass(frozen=True)
class Sequential:
    """Seeds 0, 1, … in groups, until the answer is known: ``at_least`` of them, then twice as
    many, and so on, ``at_most`` in all.

    Raises:
        InitcheckError: numbers that leave no choice; the message says what to pass.
    """

    at_most: int = 16
    at_least: int = 4

    def __post_init__(self) -> None:
        given = self.at_least, self.at_most
        are_whole = all(isinstance(n, int) and not isinstance(n, bool) for n in given)
        if not are_whole or not FEWEST <= self.at_least < self.at_most:
            raise InitcheckError(
                f"Sequential: at_least={self.at_least!r}, at_most={self.at_most!r}: pass whole "
                f"numbers with {FEWEST} <= at_least < at_most, or a number of seeds in its place"
            )

    @property
    def looks(self) -> tuple[int, ...]:
        """How many seeds there are at each look."""
        doublings = math.ceil(math.log2(self.at_most / self.at_least))
        return (*(self.at_least << i for i in range(doublings)), self.at_most)

    @property
    def interim(self) -> int:
        """How many looks there are before the last one."""
        return len(self.looks) - 1


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One look at a difference of means, ``seeds`` of them against ``stored`` in a baseline.

    Both bounds are levels of significance of whatever test a value has, two-sided, since the
    number of its degrees of freedom changes from look to look (Pocock, Biometrika 64, 1977).
    """

    design: Sequential
    seeds: int
    stored: int

    @property
    def is_last(self) -> bool:
        """Whether no more seeds follow."""
        return self.seeds >= self.design.at_most

    def rejects_at(self, alpha: float) -> float:
        """Below which level the value has changed; ``alpha`` is that of the fixed design."""
        early = sum(min(n, self.stored) >= REJECTING for n in self.design.looks[:-1])
        if self.is_last:
            return alpha * (1 - EARLY) if early else alpha
        return alpha * EARLY / early if min(self.seeds, self.stored) >= REJECTING else NEVER

    def accepts_at(self, alpha: float) -> float:
        """From which level on the value is taken for chance.

        The change that the fixed design finds with 95 % would reach it with a probability of two
        points, shared by the looks: a quantile of the noncentral t (Johnson and Welch, Biometrika
        31, 1940), with the degrees of freedom that Welch's test has where deviations are equal.
        """
        if self.is_last:
            return self.rejects_at(alpha)
        lost = LOST / self.design.interim
        return max(
            _level(alpha, self.seeds, self.design.at_most, self.stored, lost),
            self.rejects_at(alpha),
        )


@lru_cache(maxsize=1024)
def _level(alpha: float, seeds: int, most: int, stored: int, lost: float) -> float:
    from scipy.special import stdtr, stdtrit

    df = degrees(most, stored)
    critical = -float(stdtrit(df, alpha / 2))
    shift = noncentrality(1 - POWER, critical, df) * error(most, stored)
    bound = quantile(lost, shift / error(seeds, stored), degrees(seeds, stored))
    # Welch's degrees of freedom follow from the sample; with the fewest the bound lies no further.
    return float(2 * stdtr(max(min(seeds, stored) - 1, 1), -bound)) if bound > 0 else 1.0


def noncentrality(probability: float, value: float, df: float) -> float:
    """The shift with which a noncentral t stays below ``value`` with that probability."""
    return -_solved(lambda shift: _below(value, -shift, df), probability, -2 * value - 10, 0.0)


def quantile(probability: float, shift: float, df: float) -> float:
    """The value below which a noncentral t stays with that probability; 0 for any below 0."""
    return _solved(lambda value: _below(value, shift, df), probability, 0.0, 2 * shift + 10)


def _solved(rising: Callable[[float], float], target: float, low: float, high: float) -> float:
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < target else (low, middle)
    return low


def _below(value: float, shift: float, df: float) -> float:
    """P(T < value): the mean over the deviation that a sample shows, by its quantiles.

    scipy's own takes time without end where few degrees of freedom meet a small error rate.
    """
    from scipy.special import ndtr

    return float(ndtr(value * _deviations(df) - shift).mean())


@lru_cache(maxsize=64)
def _deviations(df: float) -> NDArray[np.float64]:
    import numpy as np
    from scipy.special import gammaincinv

    places = (np.arange(2048) + 0.5) / 2048
    found: NDArray[np.float64] = np.sqrt(gammaincinv(df / 2, places) * 2 / df)
    return found


def error(n: int, m: int) -> float:
    """The standard error of a difference of two means, in standard deviations of one value."""
    return math.sqrt(1 / n + 1 / m)


def degrees(n: int, m: int) -> float:
    """The degrees of freedom of Welch's t where both deviations are equal."""
    parts = 1 / n**2 / max(n - 1, 1) + 1 / m**2 / max(m - 1, 1)
    return max((1 / n + 1 / m) ** 2 / parts, 1.0)


@dataclass(frozen=True, kw_only=True)
class ShareStage:
    """One look at a share of seeds: it holds from ``holds_at`` successes on, and fails up to
    ``fails_at``."""

    seeds: int
    most: int
    holds_at: int
    fails_at: int


def share_stage(design: Sequential, seeds: int, probability: float) -> ShareStage:
    """The bounds of `pytest_initcheck.statistics.share_at_least` after some of the seeds.

    What cannot change any more is decided (curtailed sampling), and so is what would change with
    the small probabilities above; all of them are binomial, and exact.
    """
    n, most = seeds, design.at_most
    critical = failing_count(most, probability, CONFIDENCE)
    if n >= most:
        return ShareStage(seeds=n, most=most, holds_at=critical + 1, fails_at=critical)
    spent = at_most_chance(critical, most, probability) if critical >= 0 else 0.0
    alpha = 1 - CONFIDENCE
    unspent = min(EARLY * alpha, max(alpha - spent, 0.0)) / design.interim
    lost = LOST / design.interim
    holds = (s for s in range(n + 1) if s > critical or _lost(s, n, most, critical) <= lost)
    fails = (
        s
        for s in range(n, -1, -1)
        if s + most - n <= critical
        or (critical >= 0 and at_most_chance(s, n, probability) <= unspent)
    )
    return ShareStage(seeds=n, most=most, holds_at=next(holds, n + 1), fails_at=next(fails, -1))


@lru_cache(maxsize=4096)
def _lost(successes: int, n: int, most: int, critical: int) -> float:
    """The probability of that many successes and yet too few in the end, where few succeed."""
    from scipy.special import betaincinv

    share = float(betaincinv(critical + 1, most - critical, 1 - POWER))
    return math.fsum(
        math.comb(n, s)
        * share**s
        * (1 - share) ** (n - s)
        * at_most_chance(min(critical - s, most - n), most - n, share)
        for s in range(successes, min(n, critical) + 1)
    )
