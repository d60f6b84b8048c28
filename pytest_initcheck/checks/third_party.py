"""Checks of a team's own, from the hook ``pytest_initcheck_checks``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytest_initcheck.checks import Check, available
from pytest_initcheck.checks.team_check import team_check
from pytest_initcheck.errors import InitcheckError


def with_builtin(answers: Iterable[Any]) -> list[Check]:
    """All available checks and those in the hook's answers; empty where these hold none.

    Raises:
        InitcheckError: an answer is not a list of checks.
    """
    mine: list[Check] = []
    for answer in answers:
        if not isinstance(answer, (list, tuple)):
            raise InitcheckError(
                f"pytest_initcheck_checks gave {type(answer).__name__}; return a list of checks"
            )
        mine += [team_check(check) for check in answer]
    return [*available(), *mine] if mine else []
