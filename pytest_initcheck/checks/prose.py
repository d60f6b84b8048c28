"""Numbers as the rules' texts write them, so that each stands in one place: its constant."""

from __future__ import annotations

from collections.abc import Sequence

# Outside of these, a number is read more easily by its power of ten.
_SMALL, _LARGE = 0.01, 1e4


def number(value: float) -> str:
    """A number with no more digits than it has: 300, 0.01, 1e-5, 2e-6, 1e4."""
    sign, size = "−" * (value < 0), abs(value)
    if size == 0 or _SMALL <= size < _LARGE:
        return f"{sign}{size:g}"
    digits, power = f"{size:.2e}".split("e")
    return f"{sign}{float(digits):g}e{int(power)}"


def percent(share: float) -> str:
    """A share of one, to two digits: 10 %, 33 %, 0.1 %."""
    return f"{float(f'{100 * share:.2g}'):g} %"


def fraction(share: float) -> str:
    """A share of one as one part of so many: 1/200."""
    return f"1/{number(1 / share)}"


def listed(values: Sequence[float]) -> str:
    """Two numbers or more: 0, 2 and −3."""
    *others, last = map(number, values)
    return f"{', '.join(others)} and {last}"
