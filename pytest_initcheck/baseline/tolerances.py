"""Tolerances that a user gives to some values by name: "metric accuracy: 0.02"."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pytest_initcheck.baseline.judge import ValueCheck, apart
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Difference

KINDS = ("metric", "curve", "layer")


@dataclass(frozen=True)
class Tolerance:
    """Values of one kind whose names match a pattern may differ by a ``share`` of their size.

    The size of a tensor's mean and range is its root mean square, that of a share is 1.
    """

    kind: str
    pattern: str
    share: float

    def covers(self, check: ValueCheck) -> bool:
        """Whether the check is about such a value, and about a number."""
        kind, name = check.subject
        is_number = check.pair is not None and math.isfinite(check.size)
        return is_number and kind == self.kind and fnmatch.fnmatchcase(name, self.pattern)


def parse_tolerances(given: str | Iterable[str]) -> tuple[Tolerance, ...]:
    """One for each line "KIND PATTERN: SHARE"; the first that covers a value counts.

    Raises:
        InitcheckError: a line has another form; the message says which one.
    """
    lines = given.splitlines() if isinstance(given, str) else list(given)
    return tuple(_parsed(line) for line in lines if str(line).strip())


def _parsed(line: str) -> Tolerance:
    head, colon, number = str(line).rpartition(":")
    kind, _, pattern = head.strip().partition(" ")
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not colon or kind not in KINDS or not pattern.strip() or not 0 <= share < math.inf:
        raise InitcheckError(
            f'{line!r}: write "{KINDS[0]} PATTERN: SHARE", with one of {", ".join(KINDS)} and a '
            'share of at least 0, as in "metric accuracy: 0.02" or "layer encoder.*: 0.1"'
        )
    return Tolerance(kind, pattern.strip(), share)


def by_tolerance(
    check: ValueCheck, tolerances: Sequence[Tolerance]
) -> tuple[bool, Difference | None]:
    """Whether one of the tolerances covers the value, and the difference where it is exceeded."""
    found = next((t for t in tolerances if t.covers(check)), None)
    if found is None or check.pair is None:
        return False, None
    actual, expected = check.pair
    unit = abs(actual - expected) / check.size if check.size else 0.0
    return True, apart(check.key, actual, expected, found.share * unit)
