"""Whether the inputs of a recurrent model have any influence on its loss, however small."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.program import Program, tensors_of
from pytest_initcheck.capture.restore import clear_gradients, preserved

# A layer that runs so many times in one evaluation is a step of a recurrence.
_STEPS = 8


def is_fading(program: Program) -> bool:
    """Whether the model is recurrent and a gradient reaches its inputs.

    Products of many small slopes are no zero in floating point where the signal itself is lost
    to rounding. The caller puts the model back.
    """
    calls: Counter[int] = Counter()
    given: list[Tensor] = []

    def count(module: nn.Module, *call: Any) -> None:
        calls[id(module)] += 1

    def follow(batch: Any) -> None:
        given.extend(t.requires_grad_() for t in tensors_of(batch) if t.is_floating_point())

    handles = [module.register_forward_hook(count) for module in program.model.modules()]
    clear_gradients(program.model.parameters())
    with preserved(), CompositeCalls(), torch.enable_grad():
        torch.autograd.backward(program.evaluate(follow).loss)
    for handle in handles:
        handle.remove()
    tables = [m.weight for m in program.model.modules() if isinstance(m, nn.Embedding)]
    is_recurrent = any(isinstance(m, nn.RNNBase) for m in program.model.modules())
    is_recurrent = is_recurrent or max(calls.values(), default=0) >= _STEPS
    return is_recurrent and any(_has_gradient(tensor) for tensor in (*given, *tables))


def _has_gradient(tensor: Tensor) -> bool:
    return tensor.grad is not None and bool((tensor.grad.to_dense() != 0).any())
