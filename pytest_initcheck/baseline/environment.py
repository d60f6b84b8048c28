"""Where a record was made, as far as it decides the last digits, and which record is nearest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from pytest_initcheck.baseline.stored import Stored
from pytest_initcheck.records import Comparison, RunRecord

DEVICE, CAPABILITY, TORCH = "device", "capability", "torch"
# More minor versions than a major one has.
_MINORS = 1000
_MINOR = re.compile(r"(\d{1,9})\.(\d{1,9})")


class Environment(NamedTuple):
    """Kind of device, its capability, torch's minor version; "" where one is not known."""

    device: str = ""
    capability: str = ""
    torch: str = ""

    @classmethod
    def of(cls, record: RunRecord, provenance: Mapping[str, str]) -> Environment:
        """The environment that made a record, of which a session knows the provenance."""
        known = provenance.get(DEVICE, "")
        own = record.setting(DEVICE).partition(":")[0]
        # A session names the devices of all its records, and some records name none.
        of_session = known if "," not in known else ""
        device = own if own in known.split(", ") or not of_session else of_session
        capability = record.setting(CAPABILITY) or provenance.get(CAPABILITY, "")
        minor = _MINOR.match(provenance.get(TORCH, ""))
        return cls(device, capability, minor[0] if minor else "")

    @classmethod
    def of_stored(cls, stored: Stored) -> Environment:
        """The environment that made what is stored."""
        return cls.of(stored.record, stored.provenance)

    def __str__(self) -> str:
        known = [self.device, self.capability, self.torch and f"torch {self.torch}"]
        return " ".join(filter(None, known)) or "unknown"

    @property
    def version(self) -> tuple[int, int]:
        """Torch's version as numbers; zeros where it is not known."""
        major, _, minor = self.torch.partition(".")
        return int(major or 0), int(minor or 0)

    def is_like(self, other: Environment) -> bool:
        """Whether the two are one, as far as both are known."""
        return all(a == b or not (a and b) for a, b in zip(self, other, strict=True))

    def is_covered_by(self, other: Environment) -> bool:
        """Whether a test that ran on the other one would have made its record here, too."""
        is_here = not (self.device and other.device) or self.device == other.device
        return is_here and not (other.torch and self.version > other.version)

    def fits(self, words: str) -> bool:
        """Whether it is of that description: "cuda", "cuda sm_90", "cpu torch 2.14"."""
        return set(words.split()) <= set(str(self).split())

    def distance(self, other: Environment) -> tuple[int | str, ...]:
        """How unlike the two are: another device first, then its capability, then torch."""
        device, capability = (
            bool(a and b and a != b) for a, b in zip(self[:2], other[:2], strict=True)
        )
        mine, theirs = (major * _MINORS + minor for major, minor in (self.version, other.version))
        apart = abs(mine - theirs) if self.torch else -theirs
        return (device, capability, apart, str(other))

    def told(self, found: Comparison, other: Environment) -> Comparison:
        """A comparison with a record of the other environment, and which that is.

        Whether it is equal bit for bit says something in the same environment alone.
        """
        is_same = self.is_like(other)
        is_said = is_same or bool(self.device and other.device and self.device != other.device)
        note = f"there is no baseline of {self} yet; compared with that of {other}"
        return replace(
            found,
            environment=str(other),
            bit_identical=found.is_identical if is_same else None,
            notes=found.notes if is_said else (*found.notes, note),
        )


class Kept(dict[str, Stored]):
    """The records of one entry by their environments."""

    @classmethod
    def only(cls, *records: Stored) -> Kept:
        """These records, each under its environment."""
        return cls({str(Environment.of_stored(stored)): stored for stored in records})

    def nearest(self, environment: Environment, variant: str = "") -> Stored | None:
        """The record of the environment, else that of the nearest; None where there is none.

        ``variant`` describes the environments that count.
        """
        known = [(Environment.of_stored(stored), stored) for stored in self.values()]
        chosen = [pair for pair in known if pair[0].fits(variant)]
        ranked = sorted(chosen, key=lambda pair: environment.distance(pair[0]))
        return ranked[0][1] if ranked else None

    def own(self, environment: Environment) -> Stored | None:
        """The record of that very environment."""
        stored = self.nearest(environment)
        is_own = stored is not None and environment.is_like(Environment.of_stored(stored))
        return stored if is_own else None

    def without(self, stored: Stored | None) -> Kept:
        """All but that one."""
        return Kept({key: other for key, other in self.items() if other is not stored})
