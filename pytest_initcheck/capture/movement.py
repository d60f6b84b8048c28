"""How far the parameters of a model have moved."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.capture.shared_copy import shared_copy
from pytest_initcheck.ranks.buckets import at_hand
from pytest_initcheck.ranks.dtensors import whole


def copies(model: nn.Module) -> dict[str, Tensor]:
    """The parameters as they are now, to be read alone."""
    return {name: shared_copy(parameter) for name, parameter in model.named_parameters()}


@torch.no_grad()
def movement(model: nn.Module, starts: Mapping[str, Tensor]) -> dict[str, float]:
    """‖w_after − w_before‖ / ‖w_before‖ per parameter; one host read.

    From a start at zero any movement is infinite; what stayed where it was, as a frozen parameter
    does, has 0.
    """
    _norm = torch.linalg.vector_norm
    ledger, slots = DeferredRead(), {}
    rows = (
        (name, p, starts[name].to(p.device))
        for name, p in model.named_parameters()
        if name in starts and p.numel() and (p.is_floating_point() or p.is_complex())
    )
    for name, parameter, start in at_hand(rows):
        moved = pieces(whole(parameter), whole(start))
        norms = [torch.stack([_norm(a - b), _norm(b)]) for a, b in moved]
        slots[name] = ledger.put(torch.linalg.vector_norm(torch.stack(norms), dim=0))
    ledger.read()
    return {name: ratio(*map(float, ledger[slot])) for name, slot in slots.items()}


def ratio(moved: float, norm: float) -> float:
    """A distance relative to where it began."""
    if norm:
        return moved / norm
    return math.inf if moved else 0.0
