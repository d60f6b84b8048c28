"""A few samples of a batch, which show as well as all of them that each stands alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.tree import mapped
from pytest_initcheck.dependence.batch_position import ARE_STEPS
from pytest_initcheck.dependence.layout import BatchLayout, layout_of
from pytest_initcheck.dependence.passes import PassResult
from pytest_initcheck.evidence.dependencies import Dependencies

# The sample that is replaced, one beside it on each side, and one apart; others where a tensor
# has an axis of that size, so that none is taken for that of the samples.
_COUNTS = (4, 5, 6, 7)


def first_samples(batch: Any, layout: BatchLayout) -> Any:
    """The first samples of a batch, half of them at most; None where it cannot be cut."""
    tensors = [tensor for _, tensor in named_tensors(batch)]
    if any(t.layout != torch.strided or t.is_nested for t in tensors):
        return None
    sizes = {size for tensor in tensors for size in tensor.shape[1:]}
    count = next((n for n in _COUNTS if n not in sizes), layout.count)
    if layout.axis or layout.other is not None or 2 * count > layout.count:
        return None

    def cut(tensor: Tensor) -> Tensor:
        is_counted = tensor.dim() > 0 and tensor.shape[0] == layout.count
        return tensor[:count] if is_counted else tensor

    few = mapped(cut, batch)
    found = layout_of(few)
    is_cut = isinstance(found, BatchLayout) and (found.axis, found.count) == (0, count)
    return few if is_cut else None


def stand_alone(found: Dependencies, reference: PassResult) -> bool:
    """Whether nothing was found among a few samples that has to be asked of all of them."""
    samples, main = found.samples, reference.main
    if samples is None or main is None or not main.dim() or found.unread:
        return False
    # What follows from the form of the batch is the same for all of it.
    if set(found.not_asked) - {ARE_STEPS}:
        return False
    if found.causality is not None and found.causality.earlier:
        return False
    is_told = main.shape[0] == samples.count and samples.count not in main.shape[1:]
    is_sound = samples.moved == (samples.perturbed,) and not samples.silent
    return is_told and is_sound and not samples.is_placed
