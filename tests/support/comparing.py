"""Small starts that are diagnosed and compared with one another."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.records import Comparison, RunRecord


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 5)
    )


def rows(seed: int, n: int = 64) -> tuple[torch.Tensor, torch.Tensor]:
    """Normal rows with random labels, from a stream of their own."""
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(n, 16, generator=stream), torch.randint(0, 5, (n,), generator=stream)


def started(
    make: Callable[[], nn.Module] = mlp,
    seed: int = 0,
    batch: Any = None,
    state: int | None = None,
    **options: Any,
) -> RunRecord:
    """The record of a model drawn from ``seed``; ``state`` seeds what is drawn on the way."""
    torch.manual_seed(seed)
    model = make()
    torch.manual_seed(seed if state is None else state)
    batch = rows(seed) if batch is None else batch
    return diagnose(model, batch, checks=(), **options).run_record()


def keys(found: Comparison) -> list[str]:
    return [difference.key for difference in found.differences]


def kinds(found: Comparison) -> set[str]:
    """The keys without the names of layers."""
    return {re.sub(r"'[^']*'", "…", key) for key in keys(found)}
