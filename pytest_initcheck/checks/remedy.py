"""A remedy as data: the code that a finding shows, and what that code acts on."""

from __future__ import annotations

from dataclasses import dataclass

from pytest_initcheck.records import Finding, RemedyTarget


@dataclass(frozen=True)
class Remedy:
    """Code that mends; empty where only an author can.

    ``target`` is what it acts on, "" where its author did not say; ``names`` are the parameters
    and modules that it changes, as far as it changes these.
    """

    code: str = ""
    target: RemedyTarget = ""
    names: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.code)

    @classmethod
    def of(cls, finding: Finding) -> Remedy:
        """What a finding carries."""
        return cls(finding.remedy_code, finding.remedy_target, finding.remedy_names)

    def touches(self, layer: str) -> bool:
        """Whether it changes something of a layer, as far as it is said what it changes."""
        return any(name == layer or name.startswith(f"{layer}.") for name in self.names)


def combined(*parts: Remedy) -> Remedy:
    """Remedies with one target as one, run in this order."""
    filled = [part for part in parts if part]
    return Remedy(
        "\n".join(part.code for part in filled),
        filled[0].target if filled else "",
        tuple(dict.fromkeys(name for part in filled for name in part.names)),
    )
