"""What a check is: one class that reads evidence and yields findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pytest_initcheck.checks.remedy import Remedy
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.records import Finding, Severity

# The rules of initialisers that contradict the layer, or what follows it: what scales lead to
# follows from them.
WRONG_SCALES = frozenset({"IC131", "IC132", "IC137"})


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One finding that a check can make, as docs/checks.md explains it.

    ``follows`` lists the ids of rules whose findings explain this one: where one of them was
    found, and is no less severe, this finding is attached to it. ``quantity`` says what is
    measured, ``exempt`` when the rule does not apply, ``severities`` what its findings can be,
    ``remedy`` what to do. ``confirms``: what it finds is the
    proof that a warning which explains it is an error; ``bows`` lists rules whose findings this
    one is never more severe than. ``surrogate``: it measures a size or a curvature from which harm
    is to be expected, so that it is a warning where the steps were seen to learn from the inputs.
    """

    id: str
    title: str
    cause: str
    limit: str
    reference: str
    follows: frozenset[str] = frozenset()
    quantity: str = ""
    exempt: str = ""
    severities: tuple[Severity, ...] = ("error",)
    remedy: str = ""
    confirms: bool = False
    bows: frozenset[str] = frozenset()
    surrogate: bool = False

    def found(
        self,
        check: str,
        severity: Severity,
        layers: Sequence[str],
        quantity: str,
        *,
        measured: float | None = None,
        limit: float | None = None,
        remedy: str = "",
        cause: str = "",
        units: tuple[int, ...] = (),
        profile: Mapping[str, float] | None = None,
        code: Remedy | str = "",
        counts_layers: bool = False,
    ) -> Finding:
        """A finding of this rule at the first of ``layers`` (empty: the model as a whole).

        ``code`` is a `Remedy`, or its text alone; with ``counts_layers`` the number of the layers
        is what was measured.
        """
        mend = code if isinstance(code, Remedy) else Remedy(code)
        return Finding(
            id=self.id,
            title=self.title,
            check=check,
            severity=severity,
            layer=layers[0] if layers else "",
            quantity=quantity,
            measured=len(layers) if counts_layers else measured,
            limit=limit,
            cause=cause or self.cause,
            remedy=remedy or self.remedy,
            reference=self.reference,
            units=units,
            layers=tuple(layers),
            profile=dict(profile or {}),
            remedy_code=mend.code,
            remedy_target=mend.target,
            remedy_names=mend.names,
            counts_layers=counts_layers,
        )


@dataclass(frozen=True)
class Suspicion:
    """A finding that counts, as an error, only where an error that it explains confirms it."""

    finding: Finding


class Check(Protocol):
    """A check. Register an own one through the hook ``pytest_initcheck_checks``, or, for all who
    install a distribution, through the entry points ``pytest_initcheck.checks``.

    It may carry ``aspects``, a set of "symmetry", "dead", "saturation" and "gradients": the
    assertions of the fixture that its errors fail; and ``protocol``, the number of the protocol
    that it was written for (default 1; see ``pytest_initcheck.extensions``).
    """

    name: str

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What it can find."""
        ...

    def run(self, evidence: Evidence) -> Iterable[Finding | Suspicion]:
        """Yield what is wrong; nothing where all is well or the check does not apply."""
        ...
