"""Which findings count: --initcheck-select and --initcheck-strict, their ini names, per path."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_initcheck.plugin.faults import ignore_fault, select_fault

if TYPE_CHECKING:
    from pytest_initcheck.checks.selection import Selection

PER_PATH = "initcheck_per_path"
_WORDS = ("select", "strict", "ignore", "thorough")
_FORM = "write PATTERN: select IC1* IC201, or strict, thorough, ignore ID [layer]: reason, or no-…"


class PathRule(NamedTuple):
    """What holds for the tests below a path: a word, and what follows it."""

    pattern: str
    word: str
    value: str = ""

    def speaks_of(self, nodeid: str) -> bool:
        """Whether it is about a test: by its file, or a folder above it."""
        path = nodeid.partition("::")[0]
        below = self.pattern.rstrip("/") + "/*"
        return any(fnmatch.fnmatchcase(path, p) for p in (self.pattern, below))


def add(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare the options and the ini names."""
    group.addoption(
        "--initcheck-select",
        metavar="IDS",
        default=None,
        help="rules that count, as ids or globs: 'IC1* IC201' (ini: initcheck_select)",
    )
    group.addoption(
        "--initcheck-strict",
        action="store_true",
        default=None,
        help="take warnings for errors (ini: initcheck_strict)",
    )
    parser.addini("initcheck_select", "rules that count, as ids or globs", default=[], type="args")
    parser.addini("initcheck_strict", "take warnings for errors", default=False, type="bool")
    parser.addini(
        PER_PATH,
        "settings of tests by their path, one a line: tests/gan: select IC1*; tests/old: ignore "
        "IC201: reason; tests/new: strict",
        default=[],
        type="linelist",
    )


def check(config: pytest.Config) -> None:
    """Raise a UsageError where a value is none."""
    for name, value in (
        ("--initcheck-select", config.getoption("--initcheck-select")),
        ("initcheck_select (ini file)", config.getini("initcheck_select")),
    ):
        if value and (fault := select_fault(value)):
            raise pytest.UsageError(f"{name}: {fault}")
    for line in config.getini(PER_PATH):
        if fault := _fault(line):
            raise pytest.UsageError(f"{PER_PATH} (ini file): {line!r}: {fault}")


def rules_for(config: pytest.Config, nodeid: str) -> list[PathRule]:
    """The rules of the ini file that speak of a test; the last ones go before the first."""
    found = (_parsed(line) for line in config.getini(PER_PATH))
    return [rule for rule in found if rule.speaks_of(nodeid)]


def selection(
    config: pytest.Config, rules: Iterable[PathRule], select: object, strict: bool | None
) -> Selection | None:
    """What counts for a test: command line over marker over paths over ini file.

    None where everything does: then the checks need not be imported.
    """
    asked = config.getoption("--initcheck-select")
    by_path = {rule.word: rule.value for rule in rules}
    given = [asked, select, by_path.get("select"), config.getini("initcheck_select")]
    chosen = next((value for value in given if value is not None), ())
    flags = [config.getoption("--initcheck-strict"), strict, is_on(by_path, "strict")]
    is_strict = next(
        (flag for flag in flags if flag is not None), config.getini("initcheck_strict")
    )
    if not chosen and not is_strict:
        return None
    from pytest_initcheck.checks.selection import Selection, parse_select

    return Selection(parse_select(chosen), bool(is_strict))


def is_on(by_path: dict[str, str], word: str) -> bool | None:
    """Whether a switch is on for a path; None where no line speaks of it."""
    return None if word not in by_path else by_path[word] != "off"


def _parsed(line: str) -> PathRule:
    pattern, _, rest = line.partition(": ")
    word, _, value = rest.strip().partition(" ")
    if word.startswith("no-"):
        return PathRule(pattern.strip(), word.removeprefix("no-"), "off")
    return PathRule(pattern.strip(), word, value.strip())


def _fault(line: str) -> str:
    rule = _parsed(line)
    if not rule.pattern or rule.word not in _WORDS:
        return _FORM
    if rule.word == "ignore":
        return ignore_fault(rule.value)
    if rule.word == "select":
        return select_fault(rule.value) if rule.value else _FORM
    return "" if rule.value in ("", "off") else _FORM
