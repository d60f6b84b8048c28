"""What a case of the corpus is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from pytest_initcheck import diagnose

PASS = frozenset({"pass"})
WARN = frozenset({"warn"})
FAIL = frozenset({"fail"})
MILD = frozenset({"pass", "warn"})
BAD = frozenset({"warn", "fail"})


@dataclass(frozen=True)
class Start:
    """A model on a batch; ``options`` are further arguments of ``diagnose``."""

    model: nn.Module
    batch: Any
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """A start with the verdicts that are right.

    ``causes`` are the ids of the findings that name the real cause, ``layers`` the layers where
    it sits; empty where the case says nothing about them. The first finding is held against both.
    """

    name: str
    build: Callable[[], Start]
    verdicts: frozenset[str]
    causes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    def start(self, seed: int) -> Start:
        """The model and batch of a seed."""
        torch.manual_seed(seed)
        return self.build()

    def diagnosis(self, seed: int):
        """The diagnosis of the start of a seed."""
        start = self.start(seed)
        return diagnose(start.model, start.batch, **start.options)

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
