"""What code that changes the data has to name: the tensors of a batch by their place in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.program import TARGET_NAMES
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.evidence.batch_place import BatchPlace
from pytest_initcheck.records import TensorStats


def batch_paths(batch: Any, measured: Mapping[str, TensorStats | None]) -> dict[str, BatchPlace]:
    """Where measured data lie, by the name they are measured under: "inputs", "batch['x']", …

    What no tensor of the batch holds is left out, such as images that the model itself turns from
    bytes into numbers between 0 and 1.
    """
    known = list(_placed(batch))
    found = {}
    for side, stats in measured.items():
        place = next((place for place, tensor in known if stats and _has(tensor, stats)), None)
        if place:
            found[side] = place
    return found


def named_tensors(batch: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a batch with the expression that reaches it."""
    for place, tensor in _placed(batch):
        yield str(place), tensor


def named_inputs(batch: Any) -> Iterator[tuple[str, Tensor]]:
    """The same of what is not a target."""
    for place, tensor in _placed(batch):
        if not _is_target(place):
            yield str(place), tensor


def _placed(batch: Any) -> Iterator[tuple[BatchPlace, Tensor]]:
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        yield from _below(BatchPlace("inputs"), batch[0])
        yield from _below(BatchPlace("targets"), batch[1])
    else:
        yield from _below(BatchPlace("inputs" if isinstance(batch, Tensor) else "batch"), batch)


def _below(place: BatchPlace, tree: Any) -> Iterator[tuple[BatchPlace, Tensor]]:
    if isinstance(tree, Tensor):
        yield place, tree
        return
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(tree, Mapping):
        parts = tree.items()
    elif isinstance(tree, (tuple, list)):
        parts = enumerate(tree)
    for key, value in parts:
        yield from _below(BatchPlace(place.root, (*place.keys, key)), value)


def _has(tensor: Tensor, stats: TensorStats) -> bool:
    if not tensor.is_floating_point() or tensor.layout != torch.strided or not tensor.numel():
        return False
    if tensor.numel() != stats.n or stats.min is None or stats.max is None:
        return False
    low, high = (float(value) for value in tensor.detach().aminmax())
    return low == stats.min and high == stats.max


def input_scale(batch: Any) -> tuple[float, float] | None:
    """Root mean square and largest |value| of the tensor of the inputs where they are largest.

    Integers count as numbers, since models turn bytes into floats.
    """
    found = [_scale(tensor) for _, tensor in named_inputs(batch) if tensor.numel()]
    return max(found, default=None)


def _is_target(place: BatchPlace) -> bool:
    is_named = len(place.keys) == 1 and place.keys[0] in TARGET_NAMES
    return place.root == "targets" or (place.root == "batch" and is_named)


def _scale(tensor: Tensor) -> tuple[float, float]:
    values = plain(tensor.values() if tensor.is_nested else tensor)
    finite = values.isfinite()
    if not bool(finite.all()):
        values = values[finite] if bool(finite.any()) else torch.zeros(1)
    return float(values.square().mean().sqrt()), float(values.abs().max())
