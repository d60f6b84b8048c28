"""One comparison of two values: what is allowed, and the difference where it is exceeded."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.records import Difference

Allowed = Callable[[float], float]
Bounds = Callable[[float], tuple[float, float]]
ABSENT = "absent"


@dataclass(frozen=True)
class Check:
    """Something to compare; ``judge`` takes the error rate of each of its ``values``."""

    judge: Callable[[float], Difference | None]
    values: int = 1


@dataclass(frozen=True)
class Fixed:
    """Tolerances that the caller gave in place of the statistical ones."""

    rtol: float
    atol: float

    def around(self, *scales: float | None) -> float:
        """Allowed distance for a value of this size."""
        return self.atol + self.rtol * max(abs(s) for s in (0.0, *scales) if s is not None)


def shown(value: Any) -> str:
    """A value as a failure text shows it."""
    if value is None:
        return ABSENT
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, tuple):
        return "×".join(map(str, value)) or "scalar"
    return str(value)


def same(key: str, actual: Any, expected: Any) -> Check:
    """Values that must be equal; None is "absent"."""

    def judge(_: float) -> Difference | None:
        if actual == expected:
            return None
        return Difference(
            key=key,
            actual=shown(actual),
            expected=shown(expected),
            allowed="equal",
            excess=math.inf,
        )

    return Check(judge)


def near(key: str, actual: float, expected: float, allowed: Allowed, values: int = 1) -> Check:
    """Values that may lie ``allowed(alpha)`` apart."""
    return Check(lambda alpha: apart(key, actual, expected, allowed(alpha)), values)


def apart(key: str, actual: float, expected: float, allowed: float) -> Difference | None:
    """The difference where two numbers lie further apart than allowed."""
    if actual == expected:
        return None
    distance = abs(actual - expected)
    if distance <= allowed:
        return None
    excess = distance / allowed if allowed > 0 else math.inf
    return Difference(
        key=key,
        actual=shown(actual),
        expected=shown(expected),
        allowed=f"± {allowed:.3g}",
        excess=excess,
    )


def within(key: str, actual: float, expected: float, bounds: Bounds) -> Check:
    """A value that must lie in ``bounds(alpha)``, which hold ``expected``."""

    def judge(alpha: float) -> Difference | None:
        low, high = bounds(alpha)
        if actual == expected or low <= actual <= high:
            return None
        allowed = abs((high if actual > high else low) - expected)
        excess = abs(actual - expected) / allowed if allowed > 0 else math.inf
        text = f"{low:.4g} to {high:.4g}"
        return Difference(
            key=key, actual=shown(actual), expected=shown(expected), allowed=text, excess=excess
        )

    return Check(judge)
