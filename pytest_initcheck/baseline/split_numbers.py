"""A number of seven digits as three that a reader sees, and the four that go into a code."""

from __future__ import annotations

import re

from pytest_initcheck.baseline.schema import DIGITS

SEEN = 3
TAILS: int = 10 ** (DIGITS - SEEN)
_HEAD = re.compile(r"(-?)(?=\.?\d)(\d*)(?:\.(\d+))?(?:e(-?\d{1,3}))?")
# Powers of ten from which the exponent is shorter than zeros.
_SMALLEST, _LARGEST = -4, 4


def split(value: float) -> tuple[str, int]:
    """The first three digits as text, cut and not rounded, and the four after them."""
    if value == 0:
        return "0", 0
    mantissa, _, power = f"{abs(value):.{DIGITS - 1}e}".partition("e")
    digits = mantissa.replace(".", "")
    sign = "-" if value < 0 else ""
    return sign + _text(digits[:SEEN].rstrip("0"), int(power)), int(digits[SEEN:])


def _text(digits: str, power: int) -> str:
    if not _SMALLEST <= power < _LARGEST:
        fraction = "." + digits[1:] if digits[1:] else ""
        return f"{digits[0]}{fraction}e{power}"
    if power < 0:
        return "." + "0" * (-power - 1) + digits
    whole, fraction = digits[: power + 1].ljust(power + 1, "0"), digits[power + 1 :]
    return f"{whole}.{fraction}" if fraction else whole


def join(head: str, tail: int) -> float | None:
    """The number of both; None where no number is split so."""
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    sign, whole, fraction, exponent = match.groups(default="")
    digits = (whole + fraction).lstrip("0")
    power = len(whole.lstrip("0")) - 1 if whole.strip("0") else len(digits) - len(fraction) - 1
    seen = digits.rstrip("0").ljust(SEEN, "0")
    rest = f"{tail:0{DIGITS - SEEN}d}"
    value = float(f"{sign}{seen[0]}.{seen[1:]}{rest}e{power + int(exponent or 0)}")
    return value if split(value) == (head, tail) else None
