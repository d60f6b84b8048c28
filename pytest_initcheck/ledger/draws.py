"""What the values of a drawn tensor are like, measured once it has been built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.evidence.construction import Built, Draw

# Of fewer values nothing is to be said.
_FEW = 64
# Enough to tell a continuous law from a handful of values, and to see a repeated row.
_SAMPLE = 1 << 16


def with_draws(tensors: Sequence[Built], model: nn.Module) -> Iterator[Built]:
    """The same, with what the values of the drawn ones are like."""
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    drawn = {b.name: values[b.name] for b in tensors if b.is_drawn and b.is_known}
    twins = _twins(drawn, {b.name: b.effective[-1].order for b in tensors if b.effective})
    for built in tensors:
        if built.name in drawn:
            draw, same = draw_of(drawn[built.name]), twins.get(built.name, ())
            built = replace(built, draw=draw, twins=same if draw else ())
        yield built


def _twins(drawn: Mapping[str, Tensor], orders: Mapping[str, int]) -> dict[str, tuple[str, ...]]:
    """For each name those of the same values, but for copies, which go back to the same write.

    They are compared in full where a few of their values are equal.
    """
    alike: dict[Any, list[str]] = {}
    for name, tensor in drawn.items():
        few = tensor.detach().reshape(-1)[:4].tolist() if tensor.numel() else []
        alike.setdefault((tuple(tensor.shape), tensor.dtype, *few), []).append(name)
    return {
        name: tuple(
            other
            for other in names
            if orders[other] != orders[name] and torch.equal(drawn[name], drawn[other])
        )
        for names in alike.values()
        if len(names) > 1
        for name in names
    }


def draw_of(tensor: Tensor) -> Draw | None:
    """The draw, None where it is too small, or no dense tensor of real floating numbers."""
    if tensor.numel() < _FEW or not tensor.is_floating_point() or tensor.layout != torch.strided:
        return None
    values = tensor.detach()
    std, mean = torch.std_mean(values.double() if values.numel() < _SAMPLE else values.float())
    low, high = torch.aminmax(values)
    reach = max(float(high) - float(mean), float(mean) - float(low))
    if not math.isfinite(reach) or not float(std) > 0:
        return None
    return Draw(
        outlier=reach / float(std),
        distinct=int(values.reshape(-1)[:_SAMPLE].unique().numel()),
        rows=_period(values),
        columns=_period(values.transpose(0, 1)) if values.dim() > 1 else 0,
    )


def _period(values: Tensor) -> int:
    """After how many rows all of them come again; 0 where they do not."""
    if values.dim() < 2:
        return 0
    rows = values.flatten(1)
    if rows.shape[1] < 2:
        return 0
    first = rows[0]
    # Nearly every draw is told apart by one number of each row.
    alike = (rows[1:, 0] == first[0]).nonzero().reshape(-1) + 1
    for start in alike.tolist():
        if rows.shape[0] % start == 0 and torch.equal(rows[start:], rows[:-start]):
            return 0 if _is_flat(first) else int(start)
    return 0


def _is_flat(row: Tensor) -> bool:
    return bool((row == row[0]).all())
