"""What ``diagnose`` was called with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from pytest_initcheck.capture.across import Across
from pytest_initcheck.capture.program import Forward, LossFunction, Optimizer
from pytest_initcheck.checks import Check
from pytest_initcheck.evidence.agreement import Agreement
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.ignores import Ignore


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What ``diagnose`` was called with, for what is asked of the diagnosis later.

    ``told`` says what was made of it, ``left_out`` which parts were not used; ``across`` merges
    what ranks measure, each of its part.
    """

    model: nn.Module
    batch: Any
    loss_fn: LossFunction | None = None
    optimizer: Optimizer | None = None
    steps: int = 5
    forward: Forward | None = None
    device: str | torch.device | None = None
    checks: Sequence[Check] | None = None
    ignore: tuple[Ignore, ...] = ()
    causal: bool | None = None
    thorough: bool = False
    construction: ConstructionFacts | None = None
    depth_scaled: bool | float | None = None
    agreement: Agreement | None = None
    across: Across | None = None
    told: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
