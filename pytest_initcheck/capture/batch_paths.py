"""What code that changes the data has to name: the tensors of a batch by their place in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.program import TARGET_NAMES
from pytest_initcheck.capture.tensor_stats import plain
from pytest_initcheck.records import TensorStats


def batch_paths(batch: Any, measured: Mapping[str, TensorStats | None]) -> dict[str, str]:
    """Where measured data lie, by the name they are measured under: "inputs", "batch['x']", …

    What no tensor of the batch holds is left out, such as images that the model itself turns from
    bytes into numbers between 0 and 1.
    """
    known = list(named_tensors(batch))
    found = {}
    for side, stats in measured.items():
        name = next((name for name, tensor in known if stats and _has(tensor, stats)), None)
        if name:
            found[side] = name
    return found


def named_tensors(batch: Any) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of a batch with the expression that reaches it."""
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        yield from _below("inputs", batch[0])
        yield from _below("targets", batch[1])
    else:
        yield from _below("inputs" if isinstance(batch, Tensor) else "batch", batch)


def _below(name: str, tree: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        yield name, tree
    elif isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _below(f"{name}[{key!r}]", value)
    elif isinstance(tree, (tuple, list)):
        for i, value in enumerate(tree):
            yield from _below(f"{name}[{i}]", value)


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
    inputs = (tensor for name, tensor in named_tensors(batch) if not _is_target(name))
    found = [_scale(tensor) for tensor in inputs if tensor.numel()]
    return max(found, default=None)


def _is_target(name: str) -> bool:
    return name.startswith("targets") or name in {f"batch[{key!r}]" for key in TARGET_NAMES}


def _scale(tensor: Tensor) -> tuple[float, float]:
    values = plain(tensor.values() if tensor.is_nested else tensor)
    finite = values.isfinite()
    if not bool(finite.all()):
        values = values[finite] if bool(finite.any()) else torch.zeros(1)
    return float(values.square().mean().sqrt()), float(values.abs().max())
