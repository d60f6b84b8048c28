"""Faults that a test expects: said by ``expect=``, or raised and caught by the test itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pytest_initcheck.errors import InitcheckError, InitcheckFailure
from pytest_initcheck.ignores import Ignore
from pytest_initcheck.records import Finding

CAUGHT = "the test catches its failure"
XFAIL = "the test is marked xfail"
_EXAMPLE = "expect='IC101', or 'IC201 encoder.*' for some layers, or a list of such"


@dataclass(frozen=True)
class Expectation:
    """The findings that an ``expect=`` asks for, as ids and globs for the layer."""

    asked: tuple[Ignore, ...] = ()

    @classmethod
    def of(cls, given: Any) -> Expectation:
        """What was passed as ``expect=``: None, a text, or a list of texts.

        Raises:
            InitcheckError: it is something else, or no rule has such an id.
        """
        from pytest_initcheck.checks.known_ignores import parse_known

        texts = [given] if isinstance(given, str) else () if given is None else given
        is_list = isinstance(texts, (list, tuple))
        if not (is_list and all(isinstance(text, str) and text.strip() for text in texts)):
            raise InitcheckError(f"expect={given!r}: pass {_EXAMPLE}")
        asked = []
        for text in texts:
            id, *layer = text.split(None, 1)
            asked.append(Ignore(id=id, layer=layer[0] if layer else "*", reason="expected"))
        return cls(parse_known(asked))

    def unexpected(self, findings: Sequence[Finding]) -> list[Finding]:
        """The findings, or those parts of them, that are not asked for."""
        from pytest_initcheck.checks.apply_ignores import sort_out

        known = [f for f in sort_out(findings, self.asked).findings if f.check != "ignore"]
        return known if self.asked else list(findings)

    def reason(self, findings: Sequence[Finding]) -> str:
        """How the record tells that all errors are expected; empty where one is not."""
        errors = [finding for finding in findings if finding.severity == "error"]
        if not self.asked or not errors or self.unexpected(errors):
            return ""
        return f"expect={', '.join(one.subject for one in self.asked)}"

    def check(self, findings: Sequence[Finding]) -> None:
        """Fail where something that is asked for was not found.

        Raises:
            InitcheckFailure: it names what is lacking, and what was found.
        """
        from pytest_initcheck.checks.apply_ignores import sort_out

        __tracebackhide__ = True
        told = [finding for finding in findings if finding.severity != "info"]
        lacking = sort_out(told, self.asked).unused if self.asked else []
        if lacking:
            found = ", ".join(dict.fromkeys(f"{f.id} {f.check}" for f in told)) or "nothing"
            names = ", ".join(one.subject for one in lacking)
            raise InitcheckFailure(f"expected {names}, which was not found; found: {found}")
