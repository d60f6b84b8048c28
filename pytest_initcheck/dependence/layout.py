"""Along which axis a batch counts its samples, as far as inputs and targets tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from pytest_initcheck.dependence.change import inputs_of, is_mask, targets_of


@dataclass(frozen=True, kw_only=True)
class BatchLayout:
    """The samples are ``count`` along ``axis``.

    ``other`` is an axis that may count them, too, of ``other_count``.
    """

    axis: int
    count: int
    other: int | None = None
    other_count: int = 0
    is_clear: bool = True


def layout_of(batch: Any) -> BatchLayout | str:
    """How the samples lie, or why that cannot be told."""
    if any(place.count("[") > 1 for place in (*inputs_of(batch), *targets_of(batch))):
        return "the batch is nested, and no tensor of it counts the samples"
    data = main_input(batch)
    if data is None:
        return "the batch holds no tensor of inputs"
    targets = next((t for t in targets_of(batch).values() if t.dim()), None)
    if targets is None:
        return _checked(
            data, BatchLayout(axis=0, count=data.shape[0], is_clear=_counts(batch, data))
        )
    count = targets.shape[0]
    if data.shape[0] == count:
        return _checked(data, _ambiguous(data, count, _other(data, targets)))
    if data.dim() > 1 and data.shape[1] == count:
        return _checked(data, BatchLayout(axis=1, count=count))
    if data.dim() > 1 and data.shape[0] * data.shape[1] == count:
        return _checked(data, _ambiguous(data, data.shape[0], 1))
    return f"{count} targets do not tell which axis of {tuple(data.shape)} counts samples"


def main_input(batch: Any) -> Tensor | None:
    """The first tensor of the inputs that holds data, no mask."""
    known = [tensor for tensor in inputs_of(batch).values() if tensor.dim() and tensor.numel()]
    return next((t for t in known if not is_mask(t)), next(iter(known), None))


def _counts(batch: Any, data: Tensor) -> bool:
    """Whether all tensors have the same length, and one of them a single number for each sample."""
    known = [tensor for tensor in inputs_of(batch).values() if tensor.dim()]
    is_equal = all(tensor.shape[0] == data.shape[0] for tensor in known)
    return is_equal and any(tensor.dim() == 1 for tensor in known)


def _other(data: Tensor, targets: Tensor) -> int | None:
    """Time may come first: then inputs and targets share their first two axes."""
    if data.dim() < 2 or data.shape[1] < 2:
        return None
    is_shared = targets.dim() > 1 and data.shape[1] == targets.shape[1]
    return 1 if is_shared or data.shape[0] == data.shape[1] else None


def _ambiguous(data: Tensor, count: int, other: int | None) -> BatchLayout:
    size = 0 if other is None else data.shape[other]
    return BatchLayout(axis=0, count=count, other=other, other_count=size)


def _checked(data: Tensor, found: BatchLayout) -> BatchLayout | str:
    if found.count < 2:
        return "the batch holds one sample"
    return found
