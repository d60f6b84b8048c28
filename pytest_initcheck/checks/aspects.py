"""Which findings an assertion about one aspect looks at."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pytest_initcheck.records import Finding


@dataclass(frozen=True)
class Aspect:
    """The checks, by name, that speak about one aspect of a model."""

    checks: frozenset[str]

    def faults(self, findings: Iterable[Finding]) -> list[Finding]:
        """The errors among the findings that are about this aspect, or have led to one that is."""
        return [f for f in findings if f.severity == "error" and self._concerns(f)]

    def _concerns(self, finding: Finding) -> bool:
        return finding.check in self.checks or any(map(self._is_told_by, finding.consequences))

    def _is_told_by(self, line: str) -> bool:
        # Consequences are kept as the lines of their findings: "error IC201 symmetry: …".
        severity, _, rest = line.partition(" ")
        check = rest.partition(" ")[2].partition(":")[0]
        return severity == "error" and check in self.checks


# Weights that are zero and stay so are equal units as well, which the check leaves to its cause.
SYMMETRY = Aspect(frozenset({"symmetry", "copies", "zero"}))
DEAD = Aspect(frozenset({"dead"}))
SATURATION = Aspect(frozenset({"saturation"}))
GRADIENTS = Aspect(frozenset({"gradients", "growth", "memory", "movement", "nonfinite", "zero"}))
