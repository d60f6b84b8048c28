"""What the best linear function of the inputs gets of what there is to be learnt in a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from pytest_initcheck.capture.batch_paths import named_tensors
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.objective.lowest import lowest
from pytest_initcheck.objective.reach import constant_heads, free, reachable
from pytest_initcheck.objective.tail import Tail, record_tail


def best_line(program: Program) -> float | None:
    """The share of what lies between the best constant and the floor that a line reaches.

    Less what as many free numbers reach by chance, which is their part of the samples; None where
    the last layers are several, or make no row for each sample. The model is put back.
    """
    with preserved(program.model, program.loss_fn, program.forward):
        try:
            tail = record_tail(program)
            return None if tail is None else _share(tail, _rows(program, tail.samples))
        except Exception:
            # Losses refuse values outside of their domain in many ways.
            return None


def _share(tail: Tail, rows: Tensor) -> float | None:
    heads = [key for key in tail.start if not tail.names[key]]
    if len(heads) != 1 or not rows.numel():
        return None
    start = tail.start[heads[0]]
    idle = constant_heads(tail)
    if idle is None or not start.dim() or start.shape[0] != tail.samples:
        return None
    floor = (free(tail) if tail.output else reachable(tail)).value
    weights = torch.zeros(rows.shape[1], start[0].numel(), dtype=start.dtype)
    level = start.mean(0).reshape(1, -1)

    def loss(points: Sequence[Tensor]) -> Tensor:
        made = rows.to(start) @ points[0] + points[1]
        return tail.at({**tail.start, heads[0]: made.reshape(start.shape)})

    line = lowest(loss, [weights.to(start), level]).value
    worth = idle.value - floor
    chance = min(rows.shape[1] / tail.samples, 1.0)
    return (idle.value - line) / worth - chance if worth > 0 else None


def _rows(program: Program, samples: int) -> Tensor:
    """What is given of each sample as one row of numbers of unit scale."""
    found = [
        tensor.detach().reshape(samples, -1).float()
        for name, tensor in named_tensors(program.batch)
        if not name.startswith("targets")
        and tensor.is_floating_point()
        and tensor.dim()
        and tensor.shape[0] == samples
    ]
    if not found:
        return torch.empty(0)
    rows = torch.cat(found, 1)
    return (rows - rows.mean(0)) / rows.std(0).clamp(min=1e-6)
