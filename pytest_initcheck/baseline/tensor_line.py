"""A tensor as one short line: mean, deviation, range, a code for the rest, and what is unusual.

"-.00213 .131 -.223 .223 CODE s=64,20": of each number the first three digits are seen, and the
code holds the other four and the counts of the histogram. ``=`` stands for a number whose three
digits are those of the tensor's twin, which is itself at the start.
"""

from __future__ import annotations

import functools
import json
import math
import typing
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pytest_initcheck.baseline import code, schema
from pytest_initcheck.baseline.code import Damaged, Word
from pytest_initcheck.baseline.counts import BINS, MOST
from pytest_initcheck.baseline.layout import usual
from pytest_initcheck.baseline.patch import Data, equal, less, more
from pytest_initcheck.baseline.split_numbers import TAILS, join, split
from pytest_initcheck.records import TensorStats
from pytest_initcheck.serialization import strict_json, undeclared

NUMBERS = ("mean", "std", "min", "max")
_FORM = ("dtype", "shape")
_USUAL_TYPE = "float32"
_NONE, _SAME = "-", "="
_BELOW: int = TAILS ** len(NUMBERS)


class Beside(NamedTuple):
    """Data of other tensors: of one that has the same form as a rule, and of the twin."""

    form: Mapping[str, Any] | None = None
    twin: Mapping[str, Any] | None = None


def write(data: Data, beside: Beside) -> str | list[Any]:
    """The line of a tensor's data; a list where something in it takes more than a word."""
    data = data | {key: schema.rounded(data[key]) for key in NUMBERS if data[key] is not None}
    counts, twin = _counts(data), beside.twin
    parts = [split(data[key]) if data[key] is not None else (_NONE, 0) for key in NUMBERS]
    shown = [
        _SAME if twin and twin[key] is not None and split(twin[key])[0] == head else head
        for key, (head, _) in zip(NUMBERS, parts, strict=True)
    ]
    rest = functools.reduce(lambda number, part: number * TAILS + part[1], parts, 0)
    word = code.write(Word(counts, rest), _BELOW, _counts(twin) if twin else None)
    left_out = {*NUMBERS, "histogram"} if counts else {*NUMBERS}
    others = {key: value for key, value in data.items() if key not in left_out}
    odd = less(others, _usual(others["shape"], beside.form))
    words = {key: text for key in sorted(odd) if (text := _word(key, odd[key])) is not None}
    long = {key: value for key, value in odd.items() if key not in words}
    line = " ".join([*shown, word + code.check(data), *words.values()])
    return [line, long] if long else line


def read(item: Any, beside: Beside) -> Data:
    """The data of which ``write`` made a line.

    Raises:
        Damaged: it did not; the message says what is wrong.
    """
    line, long = item if isinstance(item, list) and len(item) == 2 else (item, {})
    if not isinstance(line, str) or not isinstance(long, dict):
        raise Damaged(f"expected the line of a tensor, found {str(item)[:40]!r}")
    words = line.split(" ")
    if len(words) <= len(NUMBERS):
        raise Damaged(f"expected four numbers and a code, found {line[:40]!r}")
    word, check = code.checked(words[len(NUMBERS)])
    found = code.read(word, _BELOW, _counts(beside.twin) if beside.twin else None)
    data = _numbers(words, found.rest, beside.twin)
    if found.counts:
        data["histogram"] = _histogram(data, found.counts)
    others = _others(words[len(NUMBERS) + 1 :], long, beside.form)
    if twice := sorted(data.keys() & others.keys()):
        raise Damaged(f"{twice[0]!r} is said twice")
    if check != code.check(data | others):
        raise Damaged("its parts do not fit each other: it is damaged, or was edited by hand")
    return data | others


def _numbers(words: Sequence[str], rest: int, twin: Mapping[str, Any] | None) -> Data:
    data: Data = {}
    for place, key in enumerate(NUMBERS):
        tail = rest // TAILS ** (len(NUMBERS) - 1 - place) % TAILS
        head = words[place]
        if head == _SAME and twin and twin[key] is not None:
            head = split(twin[key])[0]
        data[key] = None if (head, tail) == (_NONE, 0) else join(head, tail)
        if data[key] is None and head != _NONE:
            raise Damaged(f"{key}: expected a number of three digits, found {head[:40]!r}")
    return data


def _counts(data: Mapping[str, Any]) -> tuple[int, ...] | None:
    """The counts, where all else of the histogram follows from the other numbers."""
    known = data.get("histogram")
    counts = known.get("counts") if isinstance(known, dict) else None
    if not isinstance(counts, list) or len(counts) != BINS:
        return None
    if not all(type(count) is int and count >= 0 for count in counts):
        return None
    follows = equal(known, _histogram(data, counts)) and 0 < sum(counts) <= MOST
    return tuple(counts) if follows else None


def _histogram(data: Mapping[str, Any], counts: Sequence[int]) -> Data:
    ends = {"low": data["min"], "high": data["max"]}
    return {"counts": list(counts), **ends, "sampled": sum(counts)}


def _usual(shape: Any, form: Mapping[str, Any] | None) -> Data:
    known: Data = {"dtype": _USUAL_TYPE, **({key: form[key] for key in _FORM} if form else {})}
    if form and equal(shape, form["shape"]):
        known["n"] = form["n"]
    elif isinstance(shape, list) and all(type(size) is int for size in shape):
        known["n"] = math.prod(shape)
    return usual(TensorStats) | known


def _others(words: Sequence[str], long: Data, form: Mapping[str, Any] | None) -> Data:
    part = dict(long)
    for word in words:
        brief, _, text = word.partition("=")
        key = schema.unbriefed(TensorStats).get(brief)
        if key is None or key in part:
            raise Damaged(f"there is no place for {word[:40]!r}")
        part[key] = _value(key, text)
    for key in (key for key, value in part.items() if value is None):
        raise Damaged(f"{key}: expected a value, found null")
    return more(part, _usual(part.get("shape", form["shape"] if form else []), form))


@functools.cache
def _brackets(key: str) -> tuple[str, str]:
    """What JSON has around a value, and a word does not."""
    kinds = (undeclared(m.kind) for m in schema.members(TensorStats) if m.key == key)
    kind: Any = next(kinds, None)
    return {str: ('"', '"'), tuple: ("[", "]")}.get(typing.get_origin(kind) or kind, ("", ""))


def _word(key: str, value: Any) -> str | None:
    text, (first, last) = json.dumps(value, separators=(",", ":")), _brackets(key)
    text = text.removeprefix(first).removesuffix(last)
    is_word = not any(character in ' "\\[{}]' for character in text)
    return f"{schema.brief(TensorStats, key)}={text}" if is_word else None


def _value(key: str, text: str) -> Any:
    first, last = _brackets(key)
    try:
        return strict_json(first + text + last)
    except (ValueError, RecursionError):
        raise Damaged(f"{key}: expected a value, found {text[:40]!r}") from None
