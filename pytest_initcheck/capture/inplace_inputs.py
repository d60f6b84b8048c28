"""Which tensors of the batch the program writes to, so that its next pass sees other data."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.program import Program, copied
from pytest_initcheck.capture.restore import preserved

# Data that are centred once more move by the rounding of their mean, relative to the largest.
_ROUNDING = 64
# Half precision holds the mean of many values to its last place.
_COARSE = 2


def inplace_inputs(program: Program, seen: Any) -> tuple[str, ...]:
    """The places of the batch that a pass changed, and that a second pass changes again.

    ``seen`` is the copy of the batch that one pass ran on. The second, which costs a pass, is
    taken only where the first changed something; the model is put back.
    """
    touched = {
        place: old for place, old, new in _pairs(program.batch, seen) if not _is_same(old, new)
    }
    if not touched:
        return ()
    once = copied(seen)
    for place, tensor in named_tensors(once):
        # What a pass wrote has a history, as data have none.
        tensor.requires_grad_(place not in touched and tensor.requires_grad)
    again = _passed(program, once)
    pairs = [pair for pair in _pairs(once, again) if pair[0] in touched]
    return tuple(place for place, *two in pairs if _moved(touched[place], *two))


def _passed(program: Program, batch: Any) -> Any:
    """A copy of the batch after another pass, with the random streams where they are."""
    batch = copied(batch)
    kept = preserved(program.model, program.loss_fn, program.forward)
    # What the first pass left may not be what the program takes.
    with contextlib.suppress(Exception), kept, CompositeCalls():
        program.observe(batch)
    return batch


def _pairs(before: Any, after: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
    """The tensors that both batches hold, by their place."""
    left = dict(named_tensors(after))
    for place, tensor in named_tensors(before):
        if place in left and tensor.layout == torch.strided and not tensor.is_nested:
            yield place, tensor, left[place]


def _is_same(old: Tensor, new: Tensor) -> bool:
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    # What is missing in both is the same.
    return torch.equal(old, new) or bool(((old == new) | ((old != old) & (new != new))).all())


def _moved(old: Tensor, first: Tensor, second: Tensor) -> bool:
    """Whether what one pass made of some data is changed by another, beyond rounding."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return True
    if not first.is_floating_point() or not first.numel() or not old.numel():
        return not torch.equal(first, second)
    missing = (first != first) & (second != second)
    first, second = (tensor.detach().masked_fill(missing, 0.0) for tensor in (first, second))
    largest = max(float(tensor.detach().nan_to_num().abs().max()) for tensor in (old, first))
    eps = torch.finfo(first.dtype).eps
    allowed = (_ROUNDING if eps < 1e-4 else _COARSE) * eps * largest
    # Written so that NaN is a change.
    return not float((second - first).detach().abs().max()) <= allowed
