"""Plausible other values for a sample, a position or a whole input: always ones that occur."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import TARGET_NAMES
from pytest_initcheck.dependence.passes import Change

# Where a row is replaced, so many others are asked for values that differ.
_DONORS = 16


def inputs_of(batch: Any) -> dict[str, Tensor]:
    """The tensors of a batch that are no targets, by their place in it."""
    return {place: tensor for place, tensor in named_tensors(batch) if not is_target(place)}


def targets_of(batch: Any) -> dict[str, Tensor]:
    """The tensors of a batch that are targets, by their place in it."""
    return {place: tensor for place, tensor in named_tensors(batch) if is_target(place)}


def is_target(place: str) -> bool:
    """Whether a place in a batch holds targets."""
    return place.startswith("targets") or place in {f"batch[{name!r}]" for name in TARGET_NAMES}


def is_mask(tensor: Tensor) -> bool:
    """Whether a tensor says of each value whether it counts: booleans, or integers 0 and 1."""
    if tensor.dtype == torch.bool:
        return True
    if tensor.is_floating_point() or tensor.is_complex() or not tensor.numel():
        return False
    return int(tensor.min()) >= 0 and int(tensor.max()) <= 1


def with_row(tensor: Tensor, axis: int, row: int) -> Tensor | None:
    """The tensor with each value of one row replaced by one that differs, from another row.

    What is missing stays so. None where all rows are alike there.
    """
    changed = tensor.detach().clone()
    rows = changed.movedim(axis, 0)
    count, old = rows.shape[0], rows[row].clone()
    for distance in range(1, min(count, _DONORS + 1)):
        donor = rows[(row + distance) % count]
        rows[row] = torch.where((rows[row] == old) & donor.isfinite(), donor, rows[row])
    return None if bool(is_same(rows[row], old).all()) else changed


def differing(table: Tensor) -> Tensor:
    """The tensor with each value replaced by one that differs, of another sample in its place."""
    changed = table.detach().clone()
    for distance in range(1, min(len(table), _DONORS + 1)):
        is_old = changed == table
        if not bool(is_old.any()):
            break
        donor = table.roll(-distance, 0)
        changed = torch.where(is_old & donor.isfinite(), donor, changed)
    return changed


def is_same(one: Tensor, other: Tensor) -> Tensor:
    """Where two tensors hold the same, as what is missing in both does."""
    return (one == other) | ((one != one) & (other != other))


def other_sample(batch: Any, axis: int, sample: int, count: int) -> Change:
    """What replaces one sample: of the data where there are any, else of all that can change."""
    fitting = {
        place: tensor
        for place, tensor in inputs_of(batch).items()
        if tensor.layout == torch.strided and tensor.dim() > axis and tensor.shape[axis] == count
    }
    data = {place: t for place, t in fitting.items() if t.dim() > axis + 1 and not is_mask(t)}
    for chosen in (data, {p: t for p, t in fitting.items() if not is_mask(t)}, fitting):
        found = {place: with_row(tensor, axis, sample) for place, tensor in chosen.items()}
        change = {place: tensor for place, tensor in found.items() if tensor is not None}
        if change:
            return change
    return {}


def other_input(tensor: Tensor, count: int) -> Tensor | None:
    """Other values for a whole input, no mere permutation; None where it is constant.

    The first half of the samples comes twice. Integers are never changed in another way: what
    else would be valid is not known.
    """
    if tensor.layout != torch.strided or not tensor.dim() or tensor.is_nested:
        return None
    if tensor.shape[0] == count:
        twice = tensor[torch.arange(count, device=tensor.device) // 2]
        if not bool(is_same(twice, tensor).all()):
            return twice
    if not tensor.is_floating_point():
        return None
    blurred = (tensor + tensor.reshape(-1).roll(1).reshape(tensor.shape)) / 2
    blurred = torch.where(blurred.isfinite(), blurred, tensor)
    return None if bool(is_same(blurred, tensor).all()) else blurred
