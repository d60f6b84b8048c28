"""Terms of the loss that depend on what the optimiser moves, and pull at something else alone."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.objective.tail import terms
from pytest_initcheck.objective.tape import Tape

_SHAKE = 0.01
# What rounding moves of a sum of single precision, relative to it.
_ROUNDING = 1e-6


def idle_share(program: Program, held: Collection[str]) -> float:
    """The share of the loss in terms whose gradient leads to none of the ``held`` parameters.

    Of those alone that move with these parameters: a judge's own loss does not, that of a
    generator's pictures behind a detach does. A pass, and one more where there is such a term;
    zero where no other term trains what is held, or nothing can be asked.
    """
    with preserved(program.model, program.loss_fn, program.forward):
        try:
            return _share(program, held)
        except Exception:
            # A graph that the caller has freed, or code that takes no other weights.
            return 0.0


def _share(program: Program, held: Collection[str]) -> float:
    named = [(name, p) for name, p in program.model.named_parameters() if p.requires_grad]
    own = [p for name, p in named if name in held]
    rest = [p for name, p in named if name not in held]
    found = _terms(program)
    pulled = [_pulls(term, own) for term in found]
    asked = [not is_own and _pulls(t, rest) for t, is_own in zip(found, pulled, strict=True)]
    if not any(asked) or not any(pulled):
        return 0.0
    sizes = [float(term.detach().abs()) for term in found]
    with torch.no_grad():
        draw = torch.Generator().manual_seed(0)
        for parameter in own:
            noise = torch.randn(parameter.shape, generator=draw).mul_(_SHAKE).add_(1)
            parameter.mul_(noise.to(parameter))
    later = _terms(program)
    moved = [_differs(a, b) for a, b in zip(found, later, strict=True)]
    idle = sum(size for size, *both in zip(sizes, asked, moved, strict=True) if all(both))
    return idle / sum(sizes) if idle else 0.0


def _terms(program: Program) -> list[Tensor]:
    """The terms of which the loss is a sum, on the same random numbers each time."""
    tape = Tape(program.model)
    with preserved(program.model), torch.enable_grad(), tape:
        result = program.evaluate()
        root = tape.value_of(result.loss)
    return list(_scalars(value.tensor for value in terms(root)))


def _scalars(tensors: Iterator[Tensor | None]) -> Iterator[Tensor]:
    for tensor in tensors:
        if tensor is not None and tensor.numel() == 1:
            yield tensor.reshape(())


def _pulls(term: Tensor, parameters: Sequence[Tensor]) -> bool:
    if not term.requires_grad or not parameters:
        return False
    slopes = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
    return any(slope is not None and bool(plain(slope).count_nonzero()) for slope in slopes)


def _differs(before: Tensor, after: Tensor) -> bool:
    gap = (after.detach().double() - before.detach().double()).abs()
    return bool(gap > _ROUNDING * before.detach().double().abs())
