"""Checks of a team's own, from the hook ``pytest_initcheck_checks``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding

if TYPE_CHECKING:
    from pytest_initcheck.checks import Check, Rule
    from pytest_initcheck.checks.rule import Suspicion
    from pytest_initcheck.evidence import Evidence


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
        from pytest_initcheck.checks.rule import Suspicion

        for finding in self.check.run(evidence) or ():
            if not isinstance(finding, (Finding, Suspicion)):
                raise InitcheckError(
                    f"the check {self.name!r} gave {type(finding).__name__}; yield "
                    "pytest_initcheck.Finding objects"
                )
            yield finding


def with_builtin(answers: Iterable[Any]) -> list[Check]:
    """The built-in checks and those in the hook's answers; empty where these hold none.

    Raises:
        InitcheckError: an answer is not a list of checks.
    """
    from pytest_initcheck.checks import registered

    mine: list[Check] = []
    for answer in answers:
        if not isinstance(answer, (list, tuple)):
            raise InitcheckError(
                f"pytest_initcheck_checks gave {type(answer).__name__}; return a list of checks"
            )
        mine += [_team_check(check) for check in answer]
    return [*registered(), *mine] if mine else []


def _team_check(check: Any) -> TeamCheck:
    named = isinstance(getattr(check, "name", None), str)
    if isinstance(check, type) or not named or not callable(getattr(check, "run", None)):
        raise InitcheckError(
            f"pytest_initcheck_checks gave {check!r}; a check is an object with a name (str) and "
            "a method run(evidence) that yields findings"
        )
    return TeamCheck(check)
