"""What a case of the corpus is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.ledger import Recorded

PASS = frozenset({"pass"})
WARN = frozenset({"warn"})
FAIL = frozenset({"fail"})
MILD = frozenset({"pass", "warn"})
BAD = frozenset({"warn", "fail"})


@dataclass(frozen=True)
class Start:
    """A model on a batch; ``options`` are further arguments of ``diagnose``, ``facts`` how it was
    built, where that counts."""

    model: nn.Module
    batch: Any
    options: dict[str, Any] = field(default_factory=dict)
    facts: ConstructionFacts | None = None

    def diagnosis(self):
        """What ``diagnose`` says of it."""
        built = Recorded(model=self.model, facts=self.facts) if self.facts else self.model
        return diagnose(built, self.batch, **self.options)


@dataclass(frozen=True)
class Case:
    """A start with the verdicts that are right.

    ``causes`` are the ids of the findings that name the real cause, ``layers`` the layers where
    it sits; empty where the case says nothing about them. The first finding is held against both.
    ``missed`` says why no diagnosis finds it today, or none of ``missed_seeds`` where it names
    some; empty where it must be found.
    """

    name: str
    build: Callable[[], Start]
    verdicts: frozenset[str]
    causes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    missed: str = ""
    missed_seeds: tuple[int, ...] = ()

    def known_miss(self, seed: int) -> str:
        """Why the diagnosis of a seed is known to be wrong, empty where it has to be right."""
        return self.missed if seed in (self.missed_seeds or (seed,)) else ""

    def start(self, seed: int) -> Start:
        """The model and batch of a seed."""
        torch.manual_seed(seed)
        start = self.build()
        assert isinstance(start, Start), (
            f"{self.name}: build() gave a {type(start).__name__}, not a Start; what nets.built "
            "returns is the function itself"
        )
        return start

    def diagnosis(self, seed: int):
        """The diagnosis of the start of a seed."""
        return self.start(seed).diagnosis()

    def wrong(self, diagnosis) -> str:
        """What is wrong about a diagnosis, empty where it is right."""
        text = "\n".join(map(str, diagnosis.findings)) or "no finding"
        if diagnosis.verdict not in self.verdicts:
            wanted = " or ".join(sorted(self.verdicts))
            return f"verdict {diagnosis.verdict}, not {wanted}: {text}"
        if diagnosis.verdict == "pass":
            return ""
        first = diagnosis.findings[0]
        if self.causes and first.id not in self.causes:
            return f"first cause {first.id}, not {' or '.join(self.causes)}: {text}"
        if self.layers and first.layer not in self.layers:
            return f"first layer {first.layer!r}, not {' or '.join(self.layers)}: {text}"
        return ""


def titled(topic: str) -> Callable[..., Case]:
    """A short way to write the cases of a topic: one cause by itself, layers as words."""

    def row(name, build, verdicts, causes=(), where="", missed="", missed_seeds=()):
        causes = (causes,) if isinstance(causes, str) else causes
        layers = tuple(where.split())
        return Case(f"{topic} {name}", build, verdicts, causes, layers, missed, missed_seeds)

    return row
