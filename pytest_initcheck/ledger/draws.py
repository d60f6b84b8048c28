"""What the values of a drawn tensor are like, measured once it has been built."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.evidence.construction import Built, Draw
from pytest_initcheck.ranks.dtensors import local

# Of fewer values nothing is to be said.
_FEW = 64
# Enough to tell a continuous law from a handful of values, and a deviation to a hundredth.
_SAMPLE, _MEASURED = 1 << 10, 1 << 14


def with_draws(tensors: Sequence[Built], model: nn.Module) -> Iterator[Built]:
    """The same, with what the values of the drawn ones are like."""
    values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    # Of what ranks share among them each looks at its part.
    drawn = {b.name: local(values[b.name]).detach() for b in tensors if b.is_drawn and b.is_known}
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
    flat = values.reshape(-1)
    std, mean = torch.std_mean(flat[:: max(flat.numel() // _MEASURED, 1)].float())
    low, high = torch.aminmax(values)
    reach = max(float(high) - float(mean), float(mean) - float(low))
    if not math.isfinite(reach) or not float(std) > 0:
        return None
    return Draw(
        outlier=reach / float(std),
        distinct=int(flat[:_SAMPLE].unique().numel()),
        rows=_period(values),
        columns=_period(values.transpose(0, 1)) if values.dim() > 1 else 0,
    )


def _period(values: Tensor) -> int:
    """After how many rows all of them come again; 0 where they do not."""
    if values.dim() < 2 or values[0].numel() < 2:
        return 0
    # Nearly every draw is told apart by one number of each row.
    first: tuple[Any, ...] = (slice(None), *(0,) * (values.dim() - 1))
    firsts = values[first]
    alike = (firsts[1:] == firsts[0]).nonzero().reshape(-1) + 1
    for start in alike.tolist():
        if len(values) % start == 0 and torch.equal(values[start:], values[:-start]):
            return 0 if bool((values[0] == values[0].reshape(-1)[0]).all()) else int(start)
    return 0
