"""Values as they are typed."""

from __future__ import annotations

import argparse
import math


def whole(text: str) -> int:
    """A whole number from 0 up, as torch takes seeds."""
    if not text.isascii() or not text.isdigit() or int(text[:20]) >= 1 << 63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)


def count(text: str) -> int:
    """A whole number from 1 up."""
    return _from(1, text)


def several(text: str) -> int:
    """A whole number from 2 up."""
    return _from(2, text)


def _from(least: int, text: str) -> int:
    number = whole(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} up")
    return number


def rate_argument(text: str) -> float:
    """A positive finite number."""
    number = _number(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def share_argument(text: str) -> float:
    """A number from 0 to 1."""
    number = _number(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share from 0 to 1")
    return number


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
