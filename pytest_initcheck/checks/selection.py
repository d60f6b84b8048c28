"""Which findings count, and how: rules that were selected, warnings taken for errors."""

from __future__ import annotations

import dataclasses
import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding

NOT_SELECTED = "not selected"
_PATTERN = re.compile(r"[A-Z]+[\d*?\[\]]*|\*")
Judged = TypeVar("Judged")


@dataclasses.dataclass(frozen=True)
class Selection:
    """The rules that count, as ids and globs ("IC1*"; empty: all), and whether warnings fail."""

    select: tuple[str, ...] = ()
    strict: bool = False

    def applied(self, judged: Judged) -> Judged:
        """What was found (a diagnosis, a report of steps), with what counts of it."""
        if not self.select and not self.strict:
            return judged
        held: Any = judged
        kept = [f for f in held.findings if self._is_selected(f)]
        rest = [f for f in held.findings if not self._is_selected(f)]
        changed: Judged = dataclasses.replace(
            held,
            findings=[self._as_error(finding) for finding in kept],
            ignored=[*held.ignored, *(dataclasses.replace(f, ignored=NOT_SELECTED) for f in rest)],
        )
        return changed

    def _is_selected(self, finding: Finding) -> bool:
        return not self.select or any(fnmatch.fnmatchcase(finding.id, p) for p in self.select)

    def _as_error(self, finding: Finding) -> Finding:
        if not self.strict or finding.severity != "warning":
            return finding
        return dataclasses.replace(finding, severity="error")


def parse_select(given: str | Iterable[str]) -> tuple[str, ...]:
    """ "IC1* IC201", or a sequence of such, as patterns of ids.

    Raises:
        InitcheckError: one of them is no pattern of an id.
    """
    texts: Sequence[str] = [given] if isinstance(given, str) else list(given)
    found = tuple(word for text in texts for word in re.split(r"[\s,]+", text) if word)
    for word in found:
        if not _PATTERN.fullmatch(word):
            raise InitcheckError(f"{word!r} is no rule; pass ids or globs, such as IC201 or IC1*")
    return found
