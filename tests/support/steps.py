"""Models, batches and plain steps for the tests of `check_step`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Case(NamedTuple):
    """The arguments of one call of `check_step`."""

    step: Any
    model: nn.Module
    optimizer: Any
    batch: Any
    options: dict[str, Any] = {}  # noqa: RUF012  (never changed)


def net(*, bias: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16, bias=bias), nn.ReLU(), nn.Linear(16, 3, bias=bias))


class Net(nn.Module):
    """A body with normalisation and dropout, and a head."""

    def __init__(self, norm: Callable[[int], nn.Module] = nn.BatchNorm1d, dropout: float = 0.2):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(6, 16), norm(16), nn.ReLU(), nn.Dropout(dropout))
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))


def batch(samples: int = 32) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.randn(samples, 6), torch.randint(0, 3, (samples,))


def loss_of(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def sgd(model: nn.Module, lr: float = 0.05, **options: Any) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def adam(model: nn.Module, lr: float = 1e-3, **options: Any) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=lr, **options)


def plain(model: nn.Module, optimizer: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """A step as it should be."""
    optimizer.zero_grad()
    loss = loss_of(model, batch)
    loss.backward()
    optimizer.step()
    return loss
