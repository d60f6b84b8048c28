"""One comparison of two values: what is allowed, and the difference where it is exceeded."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_initcheck.baseline.schema import rules
from pytest_initcheck.records import Difference

Allowed = Callable[[float], float]
BoundsAt = Callable[[float], tuple[float, float]]
ABSENT = "absent"
RTOL, ATOL = 1e-4, 1e-6
OLDER = "not in the baseline, and so not compared"


class Unjudged(NamedTuple):
    """A quantity that cannot be judged, and why."""

    name: str
    why: str


@dataclass(frozen=True, kw_only=True)
class ValueCheck:
    """Something to compare; ``judge`` takes the error rate of each of its ``values``.

    ``unjudged`` tells a quantity that is passed over, and why.
    ``group`` says from which budget its error rate comes; ``size`` is how large the change is, as a
    share of the value, inf where that cannot be said; ``is_certain`` says that nothing in it is
    chance, so that a small change counts as well; ``explains`` that it is no change where the
    numbers that follow are determined and equal. Of two numbers ``pair`` holds them, ``allowed``
    is how far they may lie apart, and ``key`` what their difference is called; ``subject`` is the
    kind and the name of what they belong to, as in ("layer", "fc1"). ``is_trained`` says that more
    seeds would give it more values.
    """

    judge: Callable[[float], Difference | None]
    values: int = 1
    unjudged: Unjudged | None = None
    group: str = "signals"
    size: float = math.inf
    is_certain: bool = False
    explains: bool = False
    key: str = ""
    pair: tuple[float, float] | None = None
    allowed: Allowed | None = None
    subject: tuple[str, str] = ("", "")
    is_trained: bool = False

    def is_small(self, least: float) -> bool:
        """Whether the change may be one, and is none that matters."""
        return self.size < least and not self.is_certain


def nothing(*_: Any) -> Iterable[ValueCheck]:
    """The rule of what is compared elsewhere, or cannot be."""
    return ()


# Label of the field, actual and expected value.
FieldRule = Callable[[str, Any, Any], Iterable[ValueCheck]]


def walk(
    pair: tuple[Any, Any],
    special: Mapping[str, FieldRule],
    key: Callable[[str], str],
    fixed: Fixed | None,
) -> Iterator[ValueCheck]:
    """Compare every field of two records by the rule that it declares.

    ``special`` are the rules that the kind of record has besides "equal" and "close".
    """
    actual, expected = pair
    common: dict[str, FieldRule] = {
        "equal": lambda label, a, e: [same(key(label), a, e)],
        "close": lambda label, a, e: [close(key(label), a, e, fixed)],
    }
    kind: type = type(actual)
    for name, label, rule in rules(kind):
        a, e = getattr(actual, name), getattr(expected, name)
        yield from {**common, **special}[rule](label, a, e)


def names(actual: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """The keys of both, those of the baseline first."""
    return list(dict.fromkeys([*expected, *actual]))


@dataclass(frozen=True)
class Fixed:
    """Tolerances in place of the statistical ones: the caller's, or those of rounding.

    ``is_rounding`` says the latter: what the numbers follow from is equal bit for bit.
    """

    rtol: float
    atol: float
    is_rounding: bool = False

    def of_share(self, n: float) -> float:
        """Allowed distance for a share of ``n``; rounding may carry one of them over a limit."""
        return max(self.around(1.0), 1.5 / n) if self.is_rounding else self.around(1.0)

    def around(self, *scales: float | None) -> float:
        """Allowed distance for a value of this size."""
        return self.atol + self.rtol * max(abs(s) for s in (0.0, *scales) if s is not None)


def value_text(value: Any) -> str:
    """A value as a failure text shows it."""
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, tuple):
        return "×".join(map(str, value)) or "scalar"
    return str(value)


def _difference(key: str, actual: Any, expected: Any, allowed: str, excess: float) -> Difference:
    texts = value_text(actual), value_text(expected)
    if texts[0] == texts[1] and isinstance(actual, float) and isinstance(expected, float):
        texts = f"{actual:.7g}", f"{expected:.7g}"
    return Difference(key=key, actual=texts[0], expected=texts[1], allowed=allowed, excess=excess)


def same(key: str, actual: Any, expected: Any) -> ValueCheck:
    """Values that must be equal; None is "absent"."""
    found = _difference(key, actual, expected, "equal", math.inf)
    return ValueCheck(judge=lambda _: None if actual == expected else found)


def number_check(
    key: str,
    actual: float | None,
    expected: float | None,
    check: Callable[[float, float], ValueCheck],
) -> ValueCheck:
    """Two finite numbers by ``check``; one that the baseline lacks is not compared."""
    if expected is None:
        lacking = None if actual is None else Unjudged(key.rpartition(" ")[2], OLDER)
        return ValueCheck(judge=lambda _: None, values=0, unjudged=lacking)
    if actual is None or not (math.isfinite(actual) and math.isfinite(expected)):
        return same(key, actual if actual is None else str(actual), str(expected))
    return check(actual, expected)


def close(
    key: str, actual: float | None, expected: float | None, fixed: Fixed | None
) -> ValueCheck:
    """Two numbers that are no matter of chance."""
    around = (fixed or Fixed(RTOL, ATOL)).around

    def check(a: float, e: float) -> ValueCheck:
        return near(key, a, e, lambda _: around(e), scale=abs(e), is_certain=True)

    return number_check(key, actual, expected, check)


def near(
    key: str,
    actual: float,
    expected: float,
    allowed: Allowed,
    *,
    scale: float | None = None,
    is_certain: bool = False,
) -> ValueCheck:
    """Values that may lie ``allowed(alpha)`` apart; a small change is one of ``scale``."""
    return ValueCheck(
        judge=lambda alpha: apart(key, actual, expected, allowed(alpha)),
        size=relative(actual, expected, scale),
        is_certain=is_certain,
        key=key,
        pair=(actual, expected),
        allowed=allowed,
    )


def relative(actual: float, expected: float, scale: float | None) -> float:
    """How far two values lie apart as a share of ``scale``; inf where that is none."""
    return abs(actual - expected) / scale if scale and math.isfinite(scale) else math.inf


def apart(key: str, actual: float, expected: float, allowed: float) -> Difference | None:
    """The difference where two numbers lie further apart than allowed."""
    if actual == expected:
        return None
    distance = abs(actual - expected)
    if distance <= allowed:
        return None
    excess = distance / allowed if allowed > 0 else math.inf
    return _difference(key, actual, expected, f"± {allowed:.3g}", excess)


def within(key: str, actual: float, expected: float, bounds: BoundsAt) -> ValueCheck:
    """A value that must lie in ``bounds(alpha)``, which hold ``expected``."""

    def towards(alpha: float) -> float:
        """The distance allowed on the side on which the actual value lies."""
        low, high = bounds(alpha)
        return abs((high if actual > expected else low) - expected)

    def judge(alpha: float) -> Difference | None:
        low, high = bounds(alpha)
        if actual == expected or low <= actual <= high:
            return None
        allowed = towards(alpha)
        excess = abs(actual - expected) / allowed if allowed > 0 else math.inf
        return _difference(key, actual, expected, f"{low:.4g} to {high:.4g}", excess)

    size = relative(actual, expected, abs(expected))
    return ValueCheck(judge=judge, size=size, key=key, pair=(actual, expected), allowed=towards)
