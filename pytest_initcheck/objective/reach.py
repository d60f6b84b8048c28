"""What the loss can reach: with any output, with the model's own range, with a constant one."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from pytest_initcheck.objective.lowest import Lowest, lowest
from pytest_initcheck.objective.tail import Key, Tail
from pytest_initcheck.objective.tape import Value

_NOWHERE = Lowest(math.inf, ())
_CALM = 3.0
Function = Callable[[Sequence[Tensor]], Tensor]


def floor_of(tail: Tail, groups: Tensor | None = None) -> Lowest:
    """The lowest loss of any output; ``groups`` (samples,) ties the outputs of equal samples."""
    if groups is not None:
        return tied(tail, groups)
    return free(tail) if tail.output else tied(tail, torch.arange(max(tail.samples, 1)))


def free(tail: Tail) -> Lowest:
    """The lowest loss of any output, whatever the model does to its last layers' outputs."""
    keys, many = list(tail.start), len(tail.output)

    def loss(points: Sequence[Tensor]) -> Tensor:
        return tail.at(dict(zip(keys, points[many:], strict=True)), points[:many])

    start = [*map(calm, tail.output_start), *(calm(tail.start[key]) for key in keys)]
    return _search(tail, loss, start)


def reachable(tail: Tail) -> Lowest:
    """The lowest loss that any outputs of the last layers reach."""
    keys = list(tail.start)

    def loss(points: Sequence[Tensor]) -> Tensor:
        return tail.at(dict(zip(keys, points, strict=True)))

    return _search(tail, loss, [calm(tail.start[key]) for key in keys])


def best_constant(tail: Tail) -> float | None:
    """The lowest loss of a prediction that is the same for every sample, None if not known."""
    found = constant(tail)[0]
    return found.value if found is not None and math.isfinite(found.value) else None


def constant(tail: Tail) -> tuple[Lowest | None, bool]:
    """The best prediction that is the same for every sample, and whether it is of the heads.

    Of the heads where all that stands between is made of them alone: outputs that the model's own
    last operations rule out, such as logarithms above zero, might sink the loss.
    """
    if tail.is_of_heads:
        return constant_heads(tail), True
    found = constant_output(tail) if tail.output and not are_logarithms(tail) else None
    is_known = found is not None and math.isfinite(found.value) and not found.is_bottomless
    return (found if is_known else None), False


def are_logarithms(tail: Tail) -> bool:
    """Whether an output is logarithms of probabilities: others than those say nothing."""
    return any(t.dim() > 1 and is_normalised(t) for t in tail.output_start)


def is_normalised(output: Tensor) -> bool:
    """Whether the exponentials of an output sum to one, along its second or last axis."""
    axes = {axis for axis in (1, output.dim() - 1) if output.shape[axis] > 1}
    sums = (output.float().logsumexp(axis) for axis in axes)
    return any(float(total.abs().max()) < 1e-2 for total in sums)


def constant_output(tail: Tail) -> Lowest | None:
    """The lowest loss of one output for all samples; None for a single sample."""
    return tied(tail, torch.zeros(tail.samples, dtype=torch.long)) if tail.samples > 1 else None


def constant_heads(tail: Tail) -> Lowest | None:
    """The lowest loss where the last layers make one and the same for all samples."""
    return constant_output(dataclasses.replace(tail, output=(), output_start=()))


def behind(tail: Tail, value: Value, start: Tensor) -> Tail:
    """The tail with a value between output and loss in the place of the output."""
    return dataclasses.replace(tail, output=(value,), output_start=(start,))


def tied(tail: Tail, groups: Tensor) -> Lowest:
    """The lowest loss where samples of one group get one output."""
    outputs = tail.output_start or tuple(tail.start.values())
    is_sampled = [t.dim() > 0 and t.shape[0] == len(groups) for t in outputs]
    if not any(is_sampled):
        return _NOWHERE
    start = [
        _means(calm(t), groups) if shared else calm(t)
        for t, shared in zip(outputs, is_sampled, strict=True)
    ]
    keys = list(tail.start)
    is_constant = not tail.output and not bool(groups.any())
    first = _first(tail, start) if is_constant else list(range(len(start)))
    own = sorted(set(first))

    def loss(points: Sequence[Tensor]) -> Tensor:
        at = dict(zip(own, points, strict=True))
        full = [
            at[place][groups.to(at[place].device)] if shared else at[place]
            for place, shared in zip(first, is_sampled, strict=True)
        ]
        if tail.output:
            return tail.at(tail.start, full)
        return tail.at(dict[Key, Tensor](zip(keys, full, strict=True)))

    return _search(tail, loss, [start[place] for place in own])


def _first(tail: Tail, start: Sequence[Tensor]) -> list[int]:
    """For each variable the first that is the same constant: a layer's in calls of the model."""
    known: dict[object, int] = {}
    return [
        known.setdefault((tail.makers[key], value.shape), place)
        for place, (key, value) in enumerate(zip(tail.start, start, strict=True))
    ]


def _means(tensor: Tensor, groups: Tensor) -> Tensor:
    groups = groups.to(tensor.device)
    count = int(groups.max()) + 1
    sums = torch.zeros(count, *tensor.shape[1:], dtype=tensor.dtype, device=tensor.device)
    sums.index_add_(0, groups, tensor)
    sizes = torch.bincount(groups, minlength=count).clamp(min=1).to(tensor.dtype)
    return sums / sizes.reshape(-1, *[1] * (tensor.dim() - 1))


def calm(tensor: Tensor) -> Tensor:
    """A tensor scaled down so that no value is beyond three."""
    size = float(tensor.abs().amax()) if tensor.numel() else 0.0
    return tensor / size * _CALM if math.isfinite(size) and size > _CALM else tensor


def _search(tail: Tail, loss: Function, start: Sequence[Tensor]) -> Lowest:
    """The lowest loss from a start, and from others where flat pieces may hold the search."""
    starts = [list(start)]
    if tail.is_flat:
        # Rectifiers, clamps and saturated squashings show no way out of where they are flat.
        starts += [[t.abs() + 0.1 for t in start], [torch.full_like(t, 0.1) for t in start]]
    return min((lowest(loss, each) for each in starts), key=lambda found: found.value)
