"""Whether what stands at a place of the input is what the output at that place is made of."""

from __future__ import annotations

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import Program, copied
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.objective.model_calls import outputs_of_calls

# Of what all places move by: a bottleneck spreads what one token changes over all of them.
_OWN = 0.5


def is_in_place(program: Program, name: str) -> bool:
    """Whether a token moves the output at its own place by more than at all others together.

    Then a copy of it needs no more than to be let through. An autoencoder has to press it through
    a code first, and to learn how. True where the output's places cannot be told; two passes.
    """
    tokens = dict(named_tensors(program.batch))[name]
    if tokens.dim() != 2 or min(tokens.shape) < 2:
        return True
    place = tokens.shape[1] // 2
    changed = tokens.clone()
    changed[:, place] = tokens[:, place].roll(1)
    outputs = [_output(program, name, each) for each in (tokens, changed)]
    shares = [_by_place(output, tokens.shape) for output in outputs]
    if shares[0] is None or shares[1] is None:
        return True
    moved = (shares[1] - shares[0]).square().sum((0, 2))
    return bool(moved[place] >= _OWN * moved.sum())


def _output(program: Program, name: str, tokens: Tensor) -> Tensor | None:
    batch = copied(program.batch)
    dict(named_tensors(batch))[name].copy_(tokens)
    with torch.no_grad(), preserved(program.model, program.loss_fn, program.forward):
        with outputs_of_calls(program.model) as made:
            program.observe(batch)
        return made[0].clone() if len(made) == 1 else None


def _by_place(output: Tensor | None, shape: torch.Size) -> Tensor | None:
    """The output as samples, places and values; None where it has no such axes."""
    if output is None or output.numel() % shape.numel() or output.dim() < 2:
        return None
    if output.shape[:2] == shape or output.shape[0] == shape.numel():
        return output.reshape(*shape, -1)
    if output.shape[0] == shape[0] and output.shape[-1] == shape[1]:
        return output.transpose(1, -1).reshape(*shape, -1)
    return None
