"""What is read of a step that is not looked at in full: the loss and how large the gradient is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.signal_stats import unscaled
from pytest_initcheck.capture.tensor_stats import plain


def glance(
    model: nn.Module, losses: Sequence[Tensor], scale: Tensor | None
) -> tuple[float | None, float]:
    """The sum of ``losses``, None where there are none, and the norm of all gradients together."""
    ledger = DeferredRead()
    gradients = (p.grad for p in model.parameters() if p.grad is not None)
    norms = [torch.linalg.vector_norm(plain(unscaled(g, scale))) for g in gradients]
    places = [[ledger.put(value) for value in values] for values in (losses, norms)]
    ledger.read()
    loss, norm = ([float(ledger[place][0]) for place in part] for part in places)
    return sum(loss) if loss else None, math.hypot(*norm)
