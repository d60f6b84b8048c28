"""Steps of an optimiser that the precision of the weights swallows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.learning_rate import rate_of
from pytest_initcheck.capture.optimizer_step import needs_closure
from pytest_initcheck.capture.pieces import pieces
from pytest_initcheck.capture.program import tensors_of
from pytest_initcheck.ranks.buckets import at_hand
from pytest_initcheck.ranks.dtensors import whole

# From this share on the last step is repeated, to see whether the optimiser keeps what is lost.
_MANY = 0.5
_COARSE = frozenset({torch.bfloat16, torch.float16})
# Steps of the same gradient, which sum up to many times what one of them lost.
_AGAIN = 100


@torch.no_grad()
def lost_share(
    model: nn.Module, starts: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> float:
    """Of the squared gradient, the share on elements that no step has moved by a bit.

    Of the parameters below single precision that the optimiser holds with a rate, in the squared
    gradient of all; the gradients of the last look are in place. An optimiser that keeps what
    rounding took brings it on in later steps: where more than half stands still, the last step is
    repeated, and what moves then is not lost; nor is any where the optimiser holds weights of
    higher precision. The caller puts the model back.
    """
    held = {id(p) for group in optimizer.param_groups if rate_of(group) for p in group["params"]}
    found = _standing(model, starts, held)
    if found <= _MANY or needs_closure(optimizer):
        return found
    if _has_copies(model, optimizer):
        return 0.0
    for _ in range(_AGAIN):
        optimizer.step()
    return _standing(model, starts, held)


def _has_copies(model: nn.Module, optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimiser holds a tensor of higher precision which rounds to a parameter."""
    inner = [vars(o) for o in vars(optimizer).values() if isinstance(o, torch.optim.Optimizer)]
    kept = tensors_of([*_plain(vars(optimizer)), *map(_plain, inner)])
    finer = [t for t in kept if t.is_floating_point() and t.dtype not in _COARSE and t.numel() > 1]
    return any(
        p.shape == t.shape and p.dtype in _COARSE and torch.equal(t.to(p), p.detach())
        for p in model.parameters()
        for t in finer
    )


def _plain(attributes: Mapping[str, Any]) -> list[Any]:
    # The state is kept by tensors, which are no keys of a tree.
    state = attributes.get("state")
    own = [value for key, value in attributes.items() if key != "state"]
    return [*own, *(state.values() if isinstance(state, Mapping) else ())]


def _standing(model: nn.Module, starts: Mapping[str, Tensor], held: set[int]) -> float:
    ledger, slots = DeferredRead(), []
    for is_coarse, parameter, start, slope in at_hand(_rows(model, starts, held)):
        for now, before, pull in pieces(whole(parameter), whole(start), whole(slope)):
            squares = pull.float().square()
            stood = (squares * (now == before)).sum() * is_coarse
            slots.append(ledger.put(torch.stack([stood, squares.sum()])))
    ledger.read()
    lost, all_of_it = (sum(float(ledger[slot][i]) for slot in slots) for i in (0, 1))
    return lost / all_of_it if all_of_it else 0.0


def _rows(
    model: nn.Module, starts: Mapping[str, Tensor], held: set[int]
) -> Iterator[tuple[bool, Tensor, Tensor, Tensor]]:
    parameters = dict(model.named_parameters())
    if not any(p.dtype in _COARSE for p in parameters.values()):
        return
    for name, p in parameters.items():
        is_asked = id(p) in held and name in starts and p.numel()
        if is_asked and p.grad is not None and p.grad.layout == torch.strided:
            yield p.dtype in _COARSE, p, starts[name].to(p.device), p.grad
