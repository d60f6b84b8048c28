"""A check of somebody else's, in the form of the package's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_initcheck.checks.rule import Rule, Suspicion
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding


class TeamCheck:
    """A team's check in the form of the package's; its ``rules`` may be left out."""

    def __init__(self, check: Any) -> None:
        self.check = check
        self.name: str = check.name
        self.aspects: frozenset[str] = frozenset(getattr(check, "aspects", ()))
        self.rules: tuple[Rule, ...] = tuple(getattr(check, "rules", ()))

    def run(self, evidence: Evidence) -> Iterable[Finding | Suspicion]:
        """The check's findings, and suspicions.

        Raises:
            InitcheckError: it yields something else.
        """
        for finding in self.check.run(evidence) or ():
            if not isinstance(finding, (Finding, Suspicion)):
                raise InitcheckError(
                    f"the check {self.name!r} gave {type(finding).__name__}; yield "
                    "pytest_initcheck.Finding objects"
                )
            yield finding


def team_check(check: Any) -> TeamCheck:
    """An object of a team's as a check.

    Raises:
        InitcheckError: it has no name, or no method ``run``.
    """
    named = isinstance(getattr(check, "name", None), str)
    if isinstance(check, type) or not named or not callable(getattr(check, "run", None)):
        raise InitcheckError(
            f"pytest_initcheck_checks gave {check!r}; a check is an object with a name (str) and "
            "a method run(evidence) that yields findings"
        )
    return TeamCheck(check)
