"""What there is to be learnt on a batch: between the best constant prediction and the floor."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program, tensors_of
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.objective.facts import best_constant, facts_of, floor_of
from pytest_initcheck.objective.lowest import lowest
from pytest_initcheck.objective.tail import Tail

# A smaller part of the loss is rounding, or not worth asking for.
_WORTH = 1e-3
_ROUNDING = 1e-6
# What is left to the inputs where the place alone (pixel, position) explains all but this.
_LITTLE = 0.05


@dataclass(frozen=True, kw_only=True)
class Stakes:
    """The loss at the start beside what can be had on the batch; None where it is not known.

    ``constant`` is the lowest loss of one prediction for all samples and places, ``placed`` of one
    prediction for all samples that may differ between places (pixels, positions), ``floor`` the
    lowest of any output that the model's own last operations allow, where equal inputs get equal
    outputs. ``kinds`` counts different inputs, ``asked`` the values that the loss compares with;
    ``is_open`` says that the loss has no floor.
    """

    first: float
    floor: float | None = None
    constant: float | None = None
    placed: float | None = None
    is_open: bool = False
    kinds: int = 0
    asked: int = 0

    @property
    def worth(self) -> float | None:
        """What learning from the inputs can gain over the best constant prediction."""
        if self.constant is None or self.floor is None:
            return None
        worth = self.constant - self.floor
        return worth if worth > _WORTH * max(abs(self.constant), abs(self.floor)) else 0.0

    def share(self, loss: float) -> float | None:
        """How much of ``worth`` a loss has gained: 0 at the constant prediction, 1 at the floor."""
        worth = self.worth
        if not worth or self.constant is None:
            return None
        return (self.constant - loss) / worth

    def share_of_placed(self, loss: float) -> float | None:
        """The same over the best prediction that is constant at each place."""
        if self.placed is None or self.floor is None or self.asks_for_nothing:
            return None
        return (self.placed - loss) / (self.placed - self.floor)

    @property
    def asks_for_nothing(self) -> bool:
        """Whether a prediction that ignores the inputs is as good as any."""
        if self.worth is None:
            return False
        placed = self.constant if self.placed is None else self.placed
        return (placed or 0.0) - (self.floor or 0.0) <= _LITTLE * self.worth


def stakes_of(
    tail: Tail | None, program: Program, first: float, facts: ObjectiveFacts | None = None
) -> Stakes:
    """What is at stake for a program with that tail; ``facts`` are those of the tail, if known."""
    if tail is None:
        return Stakes(first=first)
    facts, groups = facts or facts_of(tail), kinds_of_inputs(program, tail)
    kinds = int(groups.max()) + 1 if len(groups) else 0
    bounds = _bounds(tail, facts)
    floor = bounds.floor
    if floor is not None and kinds < len(groups):
        tied = floor_of(tail, groups)
        floor = max(floor, tied.value) if math.isfinite(tied.value) else floor
    return Stakes(
        first=first,
        floor=floor,
        constant=_even(bounds.tail, bounds.placed),
        placed=bounds.placed,
        is_open=facts.is_bottomless or (facts.is_open and floor is not None and floor < 0),
        kinds=kinds,
        asked=sum(tensor.numel() for tensor in tail.data if tensor.dim()),
    )


class _Bounds(NamedTuple):
    floor: float | None
    placed: float | None
    tail: Tail

    @property
    def worth(self) -> float:
        return (self.placed or 0.0) - (self.floor or 0.0)


def _bounds(tail: Tail, facts: ObjectiveFacts) -> _Bounds:
    """Floor and constant prediction, of what the last operations allow where that is anything."""
    outer = _Bounds(facts.floor, facts.constant, tail)
    inner = _Bounds(facts.reachable, facts.constant, tail)
    if facts.reachable is None:
        return outer
    if inner.worth < -_ROUNDING * (1 + abs(facts.reachable)):
        # Outputs that the model's last operations rule out, such as logarithms above zero.
        within = dataclasses.replace(tail, output=(), output_start=())
        inner = _Bounds(facts.reachable, best_constant(within), within)
    is_known = facts.floor is not None and not facts.is_open
    # A range that holds no better prediction than a constant one is the model's fault.
    return outer if is_known and inner.worth <= _LITTLE * outer.worth else inner


def kinds_of_inputs(program: Program, tail: Tail) -> Tensor:
    """One number per sample, the same for samples whose inputs are equal."""
    placed = enumerate(tensors_of(program.batch))
    batched = {i: t for i, t in placed if t.dim() and t.shape[0] == tail.samples}
    inputs = [t for i, t in batched.items() if i not in tail.read] or [*batched.values()]
    marks = [_marks(tensor) for tensor in inputs if not tensor.is_sparse]
    if not marks:
        return torch.arange(tail.samples)
    groups: Tensor = torch.stack(marks, 1).unique(dim=0, return_inverse=True)[1]
    return groups.reshape(-1)


def _marks(tensor: Tensor) -> Tensor:
    """A number per row that differs between rows that differ."""
    rows = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    rows = rows.detach().reshape(len(tensor), -1).to("cpu", torch.float64)
    drawn = torch.Generator().manual_seed(0)
    weights = torch.rand(rows.shape[1], generator=drawn, dtype=torch.float64) + 0.5
    # Elementwise, so that equal rows are summed in the same order.
    marks: Tensor = (rows * weights).sum(1)
    return marks


def _even(tail: Tail, placed: float | None) -> float | None:
    """The lowest loss of one prediction for all samples and all places."""
    outputs = tail.output_start or tuple(tail.start.values())
    if placed is None or all(output.dim() < 3 for output in outputs):
        return placed
    axes = [_class_axis(tensor, tail.data) for tensor in outputs]
    keys = list(tail.start)

    def loss(points: Sequence[Tensor]) -> Tensor:
        full = [p.expand_as(t).clone() for p, t in zip(points, outputs, strict=True)]
        if tail.output:
            return tail.at(tail.start, full)
        return tail.at(dict(zip(keys, full, strict=True)))

    start = [_mean(tensor, axis) for tensor, axis in zip(outputs, axes, strict=True)]
    found = lowest(loss, start)
    is_known = math.isfinite(found.value) and not found.is_bottomless
    return max(placed, found.value) if is_known else placed


def _mean(tensor: Tensor, kept: int | None) -> Tensor:
    others = [axis for axis in range(tensor.dim()) if axis != kept]
    return tensor.mean(others, keepdim=True) if others else tensor


def _class_axis(output: Tensor, data: Sequence[Tensor]) -> int | None:
    """The axis along which values of one prediction lie, None where each value is one."""
    if output.dim() < 2:
        return None
    targets = [tuple(t.shape) for t in data if not t.is_floating_point() and not t.is_complex()]
    for axis in _axes(output):
        if tuple(output.shape[:axis]) + tuple(output.shape[axis + 1 :]) in targets:
            return axis
    return 1 if output.dim() > 3 else output.dim() - 1


def _axes(output: Tensor) -> Iterator[int]:
    yield 1
    yield output.dim() - 1
