"""A check that finds what it is told to find."""

from __future__ import annotations

from pytest_initcheck.checks import Rule


class Told:
    """A check that finds what it is told to, as (id, severity, the ids that explain it)."""

    name = "told"

    def __init__(self, *findings):
        self.findings = findings
        self.rules = tuple(
            Rule(
                id=id,
                title=id,
                cause=f"cause of {id}",
                limit="",
                reference="",
                follows=frozenset(follows),
            )
            for id, _, follows in findings
        )

    def run(self, evidence):
        for rule, (_, severity, _) in zip(self.rules, self.findings, strict=True):
            yield rule.found(
                "told", severity, ["0"], "noise", measured=2.0, limit=1.0, remedy="none"
            )
