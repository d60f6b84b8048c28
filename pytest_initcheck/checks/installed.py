"""Checks that other distributions bring, from the entry points ``pytest_initcheck.checks``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pytest_initcheck.checks.external_rules import external_rules
from pytest_initcheck.checks.rule import Check, Rule, Suspicion
from pytest_initcheck.checks.team_check import TeamCheck
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.extensions import CHECKS, Extension, extensions
from pytest_initcheck.records import Finding


class InstalledCheck(TeamCheck):
    """A check whose faults are told with the distribution that they come from."""

    def __init__(self, check: Any, extension: Extension) -> None:
        super().__init__(check)
        self.extension = extension
        self.distribution = extension.distribution

    def run(self, evidence: Evidence) -> Iterator[Finding | Suspicion]:
        """The check's findings, and suspicions.

        Raises:
            InitcheckError: it raises, or yields something else.
        """
        try:
            yield from super().run(evidence)
        except Exception as error:
            told = f"the check {self.name!r} raised {type(error).__name__}: {error}"
            raise self.extension.fault(told) from error


def installed(builtin: Iterable[Check]) -> list[Check]:
    """The checks of all distributions, made anew; ``builtin`` are those whose ids are taken.

    Raises:
        InitcheckError: one of them is broken; the message names the distribution. It is not left
            out, for a gate that has lost a check would pass.
    """
    found = extensions(CHECKS)
    if not found:
        return []
    owners = {rule.id: "pytest-initcheck" for check in builtin for rule in check.rules}
    owners |= {rule.id: "pytest-initcheck" for _, rule in external_rules()}
    return [
        _valid(one, extension, owners) for extension in found for one in extension.objects("run")
    ]


def _valid(check: Any, extension: Extension, owners: dict[str, str]) -> Check:
    if not isinstance(getattr(check, "name", None), str) or not check.name:
        raise extension.fault("a check has a name, which is a text")
    rules = getattr(check, "rules", ())
    if not isinstance(rules, (list, tuple)) or not rules:
        raise extension.fault(f"the check {check.name!r} lists no rules")
    for rule in rules:
        if not isinstance(rule, Rule):
            raise extension.fault(f"the check {check.name!r} lists {rule!r}, which is no Rule")
        if rule.id in owners:
            raise extension.fault(f"the rule {rule.id} is there already, of {owners[rule.id]}")
        owners[rule.id] = extension.distribution
    return InstalledCheck(check, extension)
