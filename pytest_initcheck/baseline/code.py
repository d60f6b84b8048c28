"""Counts of a histogram and the last digits of numbers, in one word that detects damage."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pytest_initcheck.baseline import counts as coding
from pytest_initcheck.baseline.counts import BASE, BINS, MOST

_CHECK = 2
# Folded differences from a guess add up to six times the counts at most.
_MOST_APART = 6 * MOST
_LONGEST_SIZE = len(coding.size(3 * _MOST_APART + 3))


class Damaged(ValueError):
    """A code that nobody has written so."""


class Word(NamedTuple):
    """What a word holds: counts, if there are some, and a number below a known one."""

    counts: tuple[int, ...] | None
    rest: int


# What a count is likely to be, given those before it and those of the twin.
_Guess = Callable[[Sequence[int], Sequence[int]], int]


def _on_a_line(known: Sequence[int], _: Sequence[int]) -> int:
    last, before = (0, 0, *known)[:-3:-1]
    return max(2 * last - before, 0)


def _as_the_twin(known: Sequence[int], twin: Sequence[int]) -> int:
    return twin[len(known)]


# By their place in a word's size: counts as they are, or what they differ by from a guess.
_GUESSES: tuple[_Guess | None, ...] = (None, _on_a_line, _as_the_twin)


def write(content: Word, below: int, like: Sequence[int] | None) -> str:
    """The word; counts that resemble ``like`` take less of it. ``rest`` lies ``below``."""
    if content.counts is None:
        return coding.size(0) + coding.digits(content.rest, coding.length_of(below))
    ways = range(len(_GUESSES) if like is not None else _GUESSES.index(_as_the_twin))
    return min((_word(way, content, below, like or ()) for way in ways), key=len)


def _word(way: int, content: Word, below: int, twin: Sequence[int]) -> str:
    values, guess = content.counts or (), _GUESSES[way]
    if guess is not None:
        expected = [guess(values[:place], twin) for place in range(len(values))]
        values = coding.folded(values, expected)
    total = sum(values)
    length = coding.length_of(coding.ways(total, BINS) * below)
    number = coding.rank(values) * below + content.rest
    return coding.size(1 + len(_GUESSES) * total + way) + coding.digits(number, length)


def read(word: str, below: int, like: Sequence[int] | None) -> Word:
    """What ``write`` made the word of.

    Raises:
        Damaged: it did not; the message says what is wrong.
    """
    try:
        size, start = coding.read_size(word[:_LONGEST_SIZE])
        body = start + word[_LONGEST_SIZE:]
        total, way = divmod(size - 1, len(_GUESSES))
        if total > _MOST_APART:
            raise Damaged("the code is of too many values")
        most = below * (coding.ways(total, BINS) if size else 1)
        if len(body) != coding.length_of(most):
            raise Damaged(f"the code has {len(body)} characters, not {coding.length_of(most)}")
        number = coding.from_digits(body)
    except KeyError as error:
        raise Damaged(f"a code has no {error.args[0]!r}") from None
    if number >= most:
        raise Damaged("the code is beyond the last one")
    place, tail = divmod(number, below)
    values = coding.unrank(place, total, BINS) if size else None
    return Word(values and _counts(values, _GUESSES[way], like), tail)


def _counts(
    values: Sequence[int], guess: _Guess | None, twin: Sequence[int] | None
) -> tuple[int, ...]:
    if guess is None:
        return tuple(values)
    if twin is None and guess is _as_the_twin:
        raise Damaged("the code is of differences, and there is nothing that it differs from")
    found: list[int] = []
    for value in values:
        found.append(coding.unfolded(value, guess(found, twin or ())))
    if min(found) < 0:
        raise Damaged("the code is of counts below zero")
    return tuple(found)


def check(content: object) -> str:
    """Two characters that hardly any other content has."""
    text = json.dumps(content, sort_keys=True).encode()
    return coding.digits(zlib.crc32(text) % BASE**_CHECK, _CHECK)


def checked(word: str) -> tuple[str, str]:
    """A word without its check, and that."""
    return word[:-_CHECK], word[-_CHECK:]
