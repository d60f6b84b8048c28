"""Counts as a few characters: their place among all counts of the same sum (enumerative coding).

Of ``bins`` counts with a given sum there are C(sum + bins - 1, bins - 1); which one it is, is a
number below that (Cover: Enumerative source encoding, IEEE Trans. Inf. Theory 19, 1973). Counts
beside similar ones are written as their differences, folded to counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# What JSON writes as itself in a text, one byte each.
ALPHABET = "".join(chr(i) for i in range(33, 127) if chr(i) not in '"\\')
BASE = len(ALPHABET)
BINS = 32
# Larger counts are written out: no histogram has so many values.
MOST = 1 << 40
_HALF = BASE // 2
_VALUES = {character: value for value, character in enumerate(ALPHABET)}


def ways(total: int, bins: int) -> int:
    """How many tuples of ``bins`` counts have the sum ``total``."""
    return math.comb(total + bins - 1, bins - 1)


def rank(counts: Sequence[int]) -> int:
    """The number of these counts among all with their sum."""
    left, place = sum(counts), 0
    all_ways = ways(left, len(counts))
    for bins, count in zip(range(len(counts), 1, -1), counts, strict=False):
        left -= count
        fewer = ways(left, bins)
        place += all_ways - fewer
        all_ways = _with_a_bin_less(fewer, left, bins)
    return place


def unrank(place: int, total: int, bins: int) -> tuple[int, ...]:
    """The counts of that number."""
    counts, all_ways = [], ways(total, bins)
    for more in range(bins, 1, -1):
        wanted = all_ways - place
        left, fewer = _least(wanted, more)
        counts.append(total - left)
        total, place = left, fewer - wanted
        all_ways = _with_a_bin_less(fewer, left, more)
    return (*counts, total)


def _with_a_bin_less(found: int, total: int, bins: int) -> int:
    return found * (bins - 1) // (total + bins - 1)


def _least(wanted: int, bins: int) -> tuple[int, int]:
    """The least sum of which there are at least ``wanted`` ways, and how many there are."""
    # (sum + 1) … (sum + bins - 1) = wanted (bins - 1)!, solved as if all factors were their mean.
    root = math.exp((math.log(wanted) + math.lgamma(bins)) / (bins - 1))
    total = max(round(root - bins / 2 + bins**2 / (24 * root)), 0)
    found = ways(total, bins)
    while found < wanted:
        total += 1
        found = found * (total + bins - 1) // total
    while total and (less := found * total // (total + bins - 1)) >= wanted:
        total, found = total - 1, less
    return total, found


def folded(counts: Sequence[int], like: Sequence[int]) -> tuple[int, ...]:
    """The differences as counts: 0, -1, 1, -2, 2 become 0, 1, 2, 3, 4."""
    apart = (count - other for count, other in zip(counts, like, strict=True))
    return tuple(2 * d if d >= 0 else -2 * d - 1 for d in apart)


def unfolded(difference: int, like: int) -> int:
    """The count of which ``folded`` gave the difference; negative where it gave another."""
    return like + (difference // 2 if difference % 2 == 0 else -(difference + 1) // 2)


def digits(number: int, length: int) -> str:
    """A number in as many characters."""
    found = []
    for _ in range(length):
        number, value = divmod(number, BASE)
        found.append(ALPHABET[value])
    return "".join(reversed(found))


def from_digits(text: str) -> int:
    """The number of which ``digits`` made the text.

    Raises:
        KeyError: a character is none of the alphabet.
    """
    value = 0
    for character in text:
        value = value * BASE + _VALUES[character]
    return value


def length_of(most: int) -> int:
    """How many characters take every number below ``most``."""
    length, reached = 0, 1
    while reached < most:
        length, reached = length + 1, reached * BASE
    return length


def size(value: int) -> str:
    """A number that says itself where it ends; a small one takes one character."""
    last = ALPHABET[value % _HALF]
    return (size_more(value // _HALF) if value >= _HALF else "") + last


def size_more(value: int) -> str:
    """The characters before the last one of a size."""
    head = size_more(value // _HALF) if value >= _HALF else ""
    return head + ALPHABET[_HALF + value % _HALF]


def read_size(text: str) -> tuple[int, str]:
    """The number that ``size`` wrote at the start, and the text after it.

    Raises:
        KeyError: a character is none of the alphabet, or the text ends within the number.
    """
    value = 0
    for at, character in enumerate(text, 1):
        own = _VALUES[character]
        value = value * _HALF + own % _HALF
        if own < _HALF:
            return value, text[at:]
    raise KeyError("end")
