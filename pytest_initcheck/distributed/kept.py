"""How much a pass keeps for its way back, asked on the meta device, where it takes no memory."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Forward, LossFunction, Program
from pytest_initcheck.capture.randomness import isolated
from pytest_initcheck.capture.tree import mapped
from pytest_initcheck.distributed.unsharded import outline


def kept_for_backward(
    model: torch.nn.Module, batch: Any, loss_fn: LossFunction | None, forward: Forward | None
) -> int:
    """Bytes of activations that a pass over one rank's batch keeps where the model is whole.

    What cannot run without values (a choice by them, a loss that reads its targets) ends the pass:
    what was kept until then counts.
    """
    program = Program(outline(model), mapped(_outlined, batch), loss_fn, forward)
    held, sizes = [], dict[int, int]()

    def note(tensor: Tensor) -> Tensor:
        held.append(tensor)
        storage = tensor.untyped_storage()
        sizes[storage._cdata] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with isolated(), hooks, torch.enable_grad(), contextlib.suppress(Exception):
        program.observe(program.batch)
    own = {p.untyped_storage()._cdata for p in program.model.parameters()}
    return sum(size for storage, size in sizes.items() if storage not in own)


def _outlined(tensor: Tensor) -> Tensor:
    return tensor.detach().to("meta").requires_grad_(tensor.requires_grad)
