"""Gradients that do not follow the loss: the same for a loss and for its negative."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved

# Turned round, the two cancel; where neither knows of the loss, they add up.
_HALF = 0.5


def unturned(program: Program) -> tuple[str, ...]:
    """The parameters whose gradient is not turned round with the loss.

    Two passes. Backward is linear in what comes in, whatever the function: straight-through,
    surrogates, clipped and sign gradients all turn. None where no parameter's does: then it is the
    loss itself that takes its own gradient for 1, as it may.
    """
    gradients = [_gradients(program, sign) for sign in (1.0, -1.0)]
    names = [name for name in gradients[0] if name in gradients[1]]
    still = tuple(name for name in names if not _cancel(gradients[0][name], gradients[1][name]))
    return still if len(still) < len(names) else ()


def _gradients(program: Program, sign: float) -> dict[str, Tensor]:
    with preserved(program.model, program.loss_fn, program.forward), torch.enable_grad():
        program.model.zero_grad(set_to_none=True)
        loss = program.evaluate().loss
        loss.backward(torch.full_like(loss, sign))
        found = {n: p.grad for n, p in program.model.named_parameters() if p.grad is not None}
        return {name: g.detach().clone() for name, g in found.items() if g.layout == torch.strided}


def _cancel(one: Tensor, other: Tensor) -> bool:
    size = float(one.norm() + other.norm())
    return not size > 0 or float((one + other).norm()) < _HALF * size
