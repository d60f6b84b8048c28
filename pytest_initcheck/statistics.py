"""Samples to verdicts: shares over seeds, bands of curves, paired differences.

What ``probability`` means wherever a share of seeds is asserted: the verdict *fails* when the seeds
contradict, at the stated confidence, that the true share of seeds that succeed is at least
``probability``. It is the exact one-sided binomial test (Clopper and Pearson, Biometrika 26, 1934).
The other reading, "passes only when shown", would need 29 successes of 29 to show .9 at 95 %, so a
guard over 8 seeds could never pass.

With 8 seeds, ``probability=.9`` and confidence .95: 6, 7 or 8 successes pass, 5 or fewer fail. A
model whose true share is .9 fails in 3.8 % of all draws of seeds, one at .98 in 0.04 %; one at .5
is caught in 86 %, at .3 in 99 %. Fixed seeds are one draw: the same code gives the same verdict
every time. No success at all always fails, so that a guard over very few seeds can still fail; the
sentence then states its real false alarm rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from statistics import NormalDist, fmean
from typing import NamedTuple

from pytest_initcheck.errors import InitcheckError

CONFIDENCE = 0.95


class PredictionBand(NamedTuple):
    """The range, point by point, in which a further curve is expected."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class ShareVerdict:
    """Whether ``successes`` of ``n`` seeds are in keeping with a required share.

    ``interval`` holds two Clopper-Pearson bounds on the true share, each at ``confidence`` by
    itself; ``false_alarm`` is the probability that a true share of exactly ``required`` fails.
    True in a boolean context when it holds.
    """

    successes: int
    n: int
    required: float
    confidence: float
    interval: tuple[float, float]
    false_alarm: float
    holds: bool

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        return self.sentence

    @property
    def share(self) -> float:
        """The observed share in [0, 1]."""
        return self.successes / self.n

    @property
    def sentence(self) -> str:
        """The verdict in one sentence."""
        seen = f"{self.successes} of {self.n} seed{'s' if self.n > 1 else ''}"
        seen += f" ({_percent(self.share)})"
        low, high = map(_percent, self.interval)
        sure, need = _percent(self.confidence), _percent(self.required)
        if self.holds:
            return (
                f"{seen}: in keeping with a true share of at least {need}"
                f" (between {low} and {high}, each bound with {sure} confidence)"
            )
        if self.required > self.interval[1]:
            return (
                f"{seen}: with {sure} confidence the true share is at most {high}, required {need}"
            )
        return (
            f"{seen}: required {need}; so few seeds all fail by chance in"
            f" {_percent(self.false_alarm)} of draws; pass at least"
            f" {seeds_needed(self.required, self.confidence)} seeds for {sure} confidence"
        )


@dataclass(frozen=True)
class PairedDifference:
    """Mean of ``a − b`` over pairs, with the t interval of that mean."""

    mean: float
    interval: tuple[float, float]
    n: int
    confidence: float

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"mean difference {self.mean:.4g} over {self.n} pairs"
            f" ({_percent(self.confidence)} interval {low:.4g} to {high:.4g})"
        )


def wilson(successes: int, n: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's score interval for a share: ``(low, high)`` in [0, 1], two-sided.

    For showing a share; verdicts use the exact bounds. Source: Wilson, JASA 22 (1927).

    Raises:
        InitcheckError: counts that are no counts, or a confidence outside (0, 1).
    """
    _check_counts(successes, n)
    z = NormalDist().inv_cdf((1 + _checked_confidence(confidence)) / 2)
    share, weight = successes / n, z * z / n
    centre = (share + weight / 2) / (1 + weight)
    half = z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    return low, 1.0 if successes == n else min(1.0, centre + half)


def clopper_pearson(
    successes: int, n: int, confidence: float = CONFIDENCE, *, one_sided: bool = False
) -> tuple[float, float]:
    """Exact interval for a share: ``(low, high)`` in [0, 1], by inverting the binomial test.

    With ``one_sided`` each bound holds at ``confidence`` by itself; otherwise both together do.
    Source: Clopper and Pearson, Biometrika 26 (1934).

    Raises:
        InitcheckError: counts that are no counts, or a confidence outside (0, 1).
    """
    from scipy.special import betaincinv

    _check_counts(successes, n)
    alpha = 1 - _checked_confidence(confidence)
    tail = alpha if one_sided else alpha / 2
    low = betaincinv(successes, n - successes + 1, tail) if successes else 0.0
    high = betaincinv(successes + 1, n - successes, 1 - tail) if successes < n else 1.0
    return float(low), float(high)


def at_most_chance(successes: int, n: int, share: float) -> float:
    """P(X ≤ successes) where X ~ Binomial(n, share)."""
    from scipy.special import bdtr

    _check_counts(successes, n)
    return float(bdtr(successes, n, _checked_share(share, "share")))


def share_at_least(
    successes: int, n: int, probability: float, confidence: float = CONFIDENCE
) -> ShareVerdict:
    """Do the seeds agree with a true share of successes of at least ``probability``?

    It fails when P(X ≤ successes) < 1 − confidence for X ~ Binomial(n, probability), that is when
    ``probability`` exceeds the one-sided Clopper-Pearson bound; also when nothing succeeded and
    ``probability`` is above 0. See the module's docstring for error rates.

    Raises:
        InitcheckError: counts that are no counts, a probability outside [0, 1], or a confidence
            outside (0, 1).
    """
    _check_counts(successes, n)
    probability = _checked_share(probability, "probability")
    critical = failing_count(n, probability, confidence)
    return ShareVerdict(
        successes=successes,
        n=n,
        required=probability,
        confidence=confidence,
        interval=clopper_pearson(successes, n, confidence, one_sided=True),
        false_alarm=at_most_chance(critical, n, probability) if critical >= 0 else 0.0,
        holds=successes > critical,
    )


def failing_count(n: int, probability: float, confidence: float = CONFIDENCE) -> int:
    """The most successes of ``n`` that still fail ``share_at_least``; −1 when none can."""
    _check_counts(0, n)
    alpha = 1 - _checked_confidence(confidence)
    if _checked_share(probability, "probability") == 0:
        return -1
    failing = (k for k in range(n - 1, 0, -1) if at_most_chance(k, n, probability) < alpha)
    return next(failing, 0)


def seeds_needed(probability: float, confidence: float = CONFIDENCE) -> int:
    """The fewest seeds whose unanimous failure contradicts ``probability`` at ``confidence``."""
    alpha = 1 - _checked_confidence(confidence)
    miss = 1 - _checked_share(probability, "probability")
    if miss >= 1:
        raise InitcheckError("a share of at least 0 cannot be contradicted; pass a probability > 0")
    return 1 if miss == 0 else max(1, math.floor(math.log(alpha) / math.log(miss)) + 1)


def band(curves: Sequence[Sequence[float]], confidence: float = CONFIDENCE) -> PredictionBand:
    """The t prediction interval, point by point, for one more curve of the same kind.

    ``curves`` is seeds × points, at least 2 seeds; the bounds are mean ± t·s·√(1 + 1/n). The value
    at one point of a new curve falls inside with ``confidence`` if values are near normal over
    seeds. For a whole curve use `outside_band`.

    Raises:
        InitcheckError: fewer than 2 curves, or curves of different length.
    """
    from scipy.special import stdtrit

    columns = _columns(curves)
    n = len(curves)
    t = float(stdtrit(n - 1, (1 + _checked_confidence(confidence)) / 2))
    reach = t * math.sqrt(1 + 1 / n)
    middles = [(fmean(column), reach * _sd(column)) for column in columns]
    return PredictionBand(
        tuple(m - half for m, half in middles), tuple(m + half for m, half in middles)
    )


def outside_band(
    curve: Sequence[float], curves: Sequence[Sequence[float]], confidence: float = CONFIDENCE
) -> tuple[int, ...]:
    """The points at which ``curve`` leaves the band of ``curves``; none for a curve like them.

    The band is widened (Bonferroni) so that all points together stay inside with ``confidence``.
    A value that is not finite is always outside.

    Raises:
        InitcheckError: fewer than 2 curves, or lengths that differ.
    """
    points = len(_columns([curve, *curves]))
    each = 1 - (1 - _checked_confidence(confidence)) / max(points, 1)
    lower, upper = band(curves, each)
    return tuple(
        i
        for i, (value, low, high) in enumerate(zip(curve, lower, upper, strict=True))
        if not low <= value <= high
    )


def paired_difference(
    a: Sequence[float], b: Sequence[float], confidence: float = CONFIDENCE
) -> PairedDifference:
    """The mean of ``a − b`` over pairs (the same seed in both), with its two-sided t interval.

    Source: Student, Biometrika 6 (1908). Without any spread the interval is the mean itself.

    Raises:
        InitcheckError: sequences of different length, or fewer than 2 pairs.
    """
    from scipy.special import stdtrit

    if len(a) != len(b) or len(a) < 2:
        raise InitcheckError(
            f"paired_difference got {len(a)} and {len(b)} values; pass two sequences of the same"
            " length, at least 2, one value per seed"
        )
    gaps = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    n, mean = len(gaps), fmean(gaps)
    t = float(stdtrit(n - 1, (1 + _checked_confidence(confidence)) / 2))
    half = t * _sd(gaps) / math.sqrt(n)
    return PairedDifference(mean, (mean - half, mean + half), n, confidence)


def is_above_zero(gaps: Sequence[float], confidence: float = 1 - 1e-6) -> bool:
    """Whether the mean of differences is above zero, by Student's one-sided t-test.

    Differences that are all equal decide by their sign.

    Raises:
        InitcheckError: fewer than 2 differences.
    """
    if len(gaps) < 2:
        raise InitcheckError(f"is_above_zero got {len(gaps)} values; pass at least 2 differences")
    if fmean(gaps) <= 0:
        return False
    from scipy.special import stdtrit

    t = float(stdtrit(len(gaps) - 1, _checked_confidence(confidence)))
    return fmean(gaps) > t * _sd(gaps) / math.sqrt(len(gaps))


def _sd(values: Sequence[float]) -> float:
    """The sample standard deviation; NaN where a value is not finite."""
    if not all(map(math.isfinite, values)):
        return math.nan
    # Not statistics.stdev, which reckons in fractions and takes thirty times as long.
    mean = fmean(values)
    return math.sqrt(math.fsum((x - mean) ** 2 for x in values) / (len(values) - 1))


def _columns(curves: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
    lengths = sorted({len(curve) for curve in curves})
    if len(curves) < 2 or len(lengths) > 1:
        raise InitcheckError(
            f"a band needs at least 2 curves of one length, got {len(curves)} of"
            f" length {', '.join(map(str, lengths)) or '-'}; pass one curve per seed"
        )
    return [tuple(map(float, column)) for column in zip(*curves, strict=True)]


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _check_counts(successes: int, n: int) -> None:
    whole = all(isinstance(x, Integral) and not isinstance(x, bool) for x in (successes, n))
    if not whole or n < 1 or not 0 <= successes <= n:
        raise InitcheckError(
            f"{successes!r} successes of {n!r}: pass whole numbers with 0 <= successes <= n, n >= 1"
        )


def _checked_share(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise InitcheckError(f"{name}={value!r}: pass a number from 0 to 1")
    return float(value)


def _checked_confidence(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < 1:
        raise InitcheckError(f"confidence={value!r}: pass a number between 0 and 1, such as 0.95")
    return float(value)
