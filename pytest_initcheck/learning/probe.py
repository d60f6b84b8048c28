"""Asks a model that has been trained a while whether its outputs still depend on its inputs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program
from pytest_initcheck.objective.tail import Tail, record_tail

# Rounding of float32 over a network of some depth.
_SAME = 1e-4
_AGREES = 0.01


@dataclass(frozen=True, kw_only=True)
class Probe:
    """What is known of a trained model's outputs on the batch.

    ``loss`` is theirs, ``swapped`` the loss where each sample gets the output of another;
    ``is_same``: all samples get the same output. ``is_moving``: the loss compares the outputs
    with values that themselves changed with the weights, without a gradient.
    """

    loss: float
    swapped: float | None = None
    is_same: bool = False
    is_moving: bool = False


def probe(program: Program, start: Tail | None) -> Probe | None:
    """Evaluate the model once more; None where its outputs cannot be told from its loss."""
    tail = record_tail(program)
    if tail is None or start is None:
        return None
    outputs = tail.output_start or tuple(tail.start.values())
    return Probe(
        loss=tail.loss,
        swapped=_swapped(tail),
        is_same=all(_is_same(output, tail.samples) for output in outputs),
        is_moving=_is_moving(start, tail),
    )


def _is_same(output: Tensor, samples: int) -> bool:
    if output.dim() == 0 or output.shape[0] != samples:
        return False
    size = float(output.abs().max()) if output.numel() else 0.0
    return float((output - output[:1]).abs().max()) <= _SAME * size


def _swapped(tail: Tail) -> float | None:
    """The mean loss where sample i gets the output of sample i + 1, or that of i - 1."""
    if not tail.output or tail.samples < 2:
        return None
    found = [_rolled(tail, by) for by in (1, -1)]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known else None


def _rolled(tail: Tail, by: int) -> float | None:
    outputs = [
        t.roll(by, 0) if t.dim() and t.shape[0] == tail.samples else t for t in tail.output_start
    ]
    return _value(tail, tail.start, outputs)


def _is_moving(start: Tail, now: Tail) -> bool:
    """Whether the first tail makes another loss of the outputs that the model has now."""
    if start.start.keys() != now.start.keys():
        return False
    again = _value(start, now.start, None)
    return again is not None and not math.isclose(
        again, now.loss, rel_tol=_AGREES, abs_tol=_AGREES * abs(start.loss)
    )


def _value(
    tail: Tail, variables: dict[int | str, Tensor], outputs: Sequence[Tensor] | None
) -> float | None:
    try:
        with torch.no_grad():
            found = float(tail.at(variables, outputs))
    except Exception:
        # Other outputs may lie outside of what the loss is defined for.
        return None
    return found if math.isfinite(found) else None
