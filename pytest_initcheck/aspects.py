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
        """The errors among the findings that are about this aspect."""
        return [f for f in findings if f.severity == "error" and f.check in self.checks]


SYMMETRY = Aspect(frozenset({"symmetry"}))
DEAD = Aspect(frozenset({"dead"}))
SATURATION = Aspect(frozenset({"saturation"}))
GRADIENTS = Aspect(frozenset({"gradients", "zero", "nonfinite", "movement"}))
