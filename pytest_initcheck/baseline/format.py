"""The text of a baseline file: one line per tensor, metric or curve, keys sorted, valid JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from pytest_initcheck.baseline import json_lines, short_form, text, written
from pytest_initcheck.baseline.environment import Environment, Kept
from pytest_initcheck.baseline.layout import Branch, Layout, OwnLine, part
from pytest_initcheck.baseline.stored import ALLOWED, VERDICT, Stored
from pytest_initcheck.serialization import FormError, Path

# 1: every field of every tensor. 2: the short form.
FORMAT = 2
_LONG = 1
_FILE = (part("format"), replace(part("path", str), is_required=False), part("tests"))
_MADE = replace(part("made", dict[str, str]), is_required=False)
_ENVIRONMENTS = "environments"
Tests = dict[str, dict[str, Kept]]
# One record of each entry.
Records = dict[str, dict[str, Stored]]


class Content(NamedTuple):
    """What a file holds: entries by name, by test; and whose tests these are, if it says so."""

    tests: Tests
    path: str = ""
    format: int = FORMAT


def render(tests: Mapping[str, Mapping[str, Stored | Kept]], path: str = "") -> str:
    """The file that holds these tests of ``path``. Equal content, equal bytes."""
    made = _usual_provenance(tests)
    head = {"format": FORMAT, "path": path, "made": made}
    alone = {key: OwnLine(value) for key, value in head.items() if value}
    short = _encoded(tests, lambda stored: short_form.write(Layout().encode(stored), made))
    return written.lines(Branch({**alone, "tests": short})) + "\n"


def render_long(tests: Mapping[str, Mapping[str, Stored | Kept]]) -> str:
    """The file of format 1 that holds these tests: all numbers, for people and other programs.

    An entry of several environments names them, which format 1 itself does not know.
    """
    data = {"format": _LONG, "tests": _encoded(tests, Layout().encode)}
    return written.indented(Branch(data)) + "\n"


def _encoded(
    tests: Mapping[str, Mapping[str, Stored | Kept]], encode: Callable[[Stored], Any]
) -> Branch:
    return Branch(
        {
            test: Branch({name: _entry(_kept(own), encode) for name, own in entries.items()})
            for test, entries in tests.items()
        }
    )


def _kept(own: Stored | Kept) -> Kept:
    return own if isinstance(own, Kept) else Kept.only(own)


def _entry(kept: Kept, encode: Callable[[Stored], Any]) -> Any:
    data = {key: encode(stored) for key, stored in kept.items()}
    # What is said of one environment alone needs no name of it.
    return next(iter(data.values())) if len(data) == 1 else Branch({_ENVIRONMENTS: Branch(data)})


def _usual_provenance(tests: Mapping[str, Mapping[str, Stored | Kept]]) -> dict[str, str]:
    """What most records were made with, which is said once."""
    entries = (own for entries in tests.values() for own in entries.values())
    found = [stored.provenance for own in entries for stored in _kept(own).values()]
    counts = Counter(tuple(sorted(_shared(one).items())) for one in found)
    ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return dict(ranked[0][0]) if ranked else {}


def _shared(provenance: Mapping[str, str]) -> Mapping[str, str]:
    """Without what an unhealthy start says of itself, which belongs beside it."""
    if ALLOWED not in provenance:
        return provenance
    return {key: said for key, said in provenance.items() if key not in (ALLOWED, VERDICT)}


def parse(content: str, file: str) -> Records:
    """The first record of every entry in the text of a file, as `parse_file` reads it."""
    tests = parse_file(content, file).tests
    return {t: {n: next(iter(k.values())) for n, k in own.items()} for t, own in tests.items()}


def parse_file(content: str, file: str) -> Content:
    """All that the text of a baseline file says; ``file`` is what an error calls it.

    Raises:
        BaselineError: the text is not a valid baseline of this format; the message names file and
            line, what is wrong there, and what to do.
    """
    data = text.load(content, file)
    try:
        found = _read(data)
    except FormError as fault:
        line = json_lines.line_of(content, fault.path)
        raise text.error_at(file, line, str(fault)) from None
    except (ArithmeticError, ValueError, RecursionError) as error:
        raise text.error_at(file, 1, f"holds numbers that are out of all bounds: {error}") from None
    return found


def _read(data: Any) -> Content:
    known = _checked_format(data)
    members = _FILE if known == _LONG else (*_FILE, _MADE)
    found = Layout().values(members, data, ())
    made = None if known == _LONG else found.get("made", {})
    path: Path = ("tests",)
    tests: Tests = {}
    for test, entries in _object(found["tests"], path).items():
        named = _object(entries, (*path, test))
        tests[test] = {name: _read_entry(e, made, (*path, test, name)) for name, e in named.items()}
    return Content(tests, found.get("path", ""), known)


def _read_entry(data: Any, made: dict[str, str] | None, path: Path) -> Kept:
    if made is None or not isinstance(data, dict) or set(data) != {_ENVIRONMENTS}:
        return Kept.only(_read_record(data, made, path))
    here = (*path, _ENVIRONMENTS)
    kept = Kept()
    for key, item in _object(data[_ENVIRONMENTS], here).items():
        kept[key] = _read_record(item, made, (*here, key))
        own = str(Environment.of_stored(kept[key]))
        if own != key:
            raise FormError((*here, key), f"{Layout().place((*here, key))}: the record of {own!r}")
    if not kept:
        raise FormError(here, f"{Layout().place(here)}: expected a record, found none")
    return kept


def _read_record(data: Any, made: dict[str, str] | None, path: Path) -> Stored:
    if made is not None:
        data = short_form.read(data, made, path)
    try:
        stored: Stored = Layout().decode(Stored, data, path)
    except FormError as fault:
        if made is not None:
            fault.path = short_form.place(fault.path, len(path))
        raise
    return stored


def _object(data: Any, path: Path) -> dict[str, Any]:
    return Layout().typed(data, dict, "an object", path)


def _checked_format(data: Any) -> int:
    if not isinstance(data, dict) or "format" not in data:
        raise FormError((), 'not a baseline: there is no field "format"')
    found = data["format"]
    if type(found) is not int or found not in (_LONG, FORMAT):
        raise FormError(
            ("format",),
            f"has format {json.dumps(found)[:40]}, this version of pytest-initcheck reads formats"
            f" {_LONG} and {FORMAT}; it was written by another version: install that, or take the"
            " file from version control as it was",
        )
    return found


def same_values(a: Stored, b: Stored) -> bool:
    """Whether two entries would be written alike, provenance aside."""
    mine, theirs = ({**Layout().encode(stored), "provenance": None} for stored in (a, b))
    return json.dumps(mine, sort_keys=True) == json.dumps(theirs, sort_keys=True)
