"""Outputs that meet what belongs to all samples, where each should meet its own."""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from pytest_initcheck.objective.between import MULTIPLIED, after_output
from pytest_initcheck.objective.tail import Tail, name_on_tape
from pytest_initcheck.objective.tape import TapeCall, Value

Shapes = tuple[tuple[int, ...], tuple[int, ...]]

# What picks by a table, or between two, pairs nothing.
_PICKS = frozenset({"gather", "where"})


@dataclass(frozen=True, kw_only=True)
class Meeting:
    """A call in which something free meets ``side``, of which each sample has its own.

    ``is_crossed``: both have a value for each sample, and what they make one for each pair.
    """

    call: TapeCall
    side: Value
    is_crossed: bool

    @property
    def shapes(self) -> Shapes:
        """Those of the two."""
        return self.call.shapes[0], self.call.shapes[1]


def broadcast(tail: Tail) -> Shapes | None:
    """The shapes of an output and of targets that a call made into one larger than both."""
    found = next((m for m in _meetings(tail) if m.is_crossed and m.side.kind == "data"), None)
    return None if found is None else found.shapes


def unpaired(tail: Tail) -> Shapes | None:
    """The shapes of two where what has a value for each sample may change places at no cost.

    Neither the loss nor its gradient moves then, though both depend on these values. Asked of
    what was broadcast by mistake, as one of the two has an axis less, and nobody writes a
    comparison of all pairs so, and of what is multiplied with a number made of all samples.
    """
    by_side: dict[Any, list[Meeting]] = {}
    for meeting in _meetings(tail):
        if len(meeting.shapes[0]) != len(meeting.shapes[1]):
            by_side.setdefault(name_on_tape(meeting.side), []).append(meeting)
    found = (meetings for meetings in by_side.values() if _may_change_places(tail, meetings))
    return next((meetings[0].shapes for meetings in found), None)


def _meetings(tail: Tail) -> list[Meeting]:
    return [m for call in after_output(tail) if (m := _meeting(tail, call)) is not None]


def _meeting(tail: Tail, call: TapeCall) -> Meeting | None:
    if len(call.inputs) < 2 or len(call.shapes) < 2 or call.name in _PICKS:
        return None
    if not any(value.is_free for value in call.inputs):
        return None
    crossed = _is_crossed(*call.shapes[:2])
    for value, shape in zip(call.inputs, call.shapes, strict=False):
        is_given = not value.is_free and (value.kind == "data" or value.is_cut)
        if is_given and (crossed or _is_pooled(tail, call, shape)):
            return Meeting(call=call, side=value, is_crossed=crossed)
    return None


def _is_pooled(tail: Tail, call: TapeCall, side: tuple[int, ...]) -> bool:
    """Whether a number that was made of all samples is multiplied with values of each."""
    is_of_each = tail.samples > 1 and side[:1] == (tail.samples,) and call.results[:1] == [side]
    others = [v for v, shape in zip(call.inputs, call.shapes, strict=False) if shape == ()]
    return is_of_each and call.name in MULTIPLIED and any(v.call is not None for v in others)


def _is_crossed(first: tuple[int, ...], second: tuple[int, ...]) -> bool:
    try:
        both = torch.broadcast_shapes(first, second)
    except RuntimeError:
        return False
    return bool(math.prod(both) > max(math.prod(first), math.prod(second)))


def _may_change_places(tail: Tail, meetings: list[Meeting]) -> bool:
    """Whether nothing moves with the places of what several meetings have for one side."""
    values = meetings[0].side.tensor
    if values is None or tail.samples not in values.shape:
        return False
    axis = list(values.shape).index(tail.samples)
    moved = values.roll(max(tail.samples // 2, 1), axis)
    if torch.equal(moved, values):
        return False
    # Values whose mean is zero do nothing to a mean over all pairs, but others would.
    before, after, more = (
        _loss_and_slopes(_meeting_with(tail, meetings, tensor))
        for tensor in (values, moved, values + 1 + values.abs())
    )
    return _are_close(before, after) and not _are_close(before[1:], more[1:])


def _meeting_with(tail: Tail, meetings: list[Meeting], tensor: Tensor) -> Tail:
    """The tail where these meetings, and no other reader of their side, get another tensor."""
    name, asked = name_on_tape(meetings[0].side), {id(m.call) for m in meetings}
    made: dict[int, TapeCall] = {}

    def renewed(leaf: Any, is_asked: bool) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        if is_asked and name_on_tape(leaf) == name:
            return Value(kind="constant", tensor=tensor)
        is_made = leaf.call is not None and id(leaf.call) in made
        return dataclasses.replace(leaf, call=made[id(leaf.call)]) if is_made else leaf

    for call in tail.calls:
        swap = functools.partial(renewed, is_asked=id(call) in asked)
        args, kwargs = tree_map(swap, call.args), tree_map(swap, call.kwargs)
        made[id(call)] = dataclasses.replace(
            call, args=args, kwargs=kwargs, inputs=[swap(value) for value in call.inputs]
        )
    return dataclasses.replace(tail, calls=tuple(made.values()), root=renewed(tail.root, False))


def _loss_and_slopes(tail: Tail) -> list[Tensor]:
    """The loss, and its gradient to what the last layers made."""
    leaves = {key: t.clone().requires_grad_() for key, t in tail.start.items()}
    with torch.enable_grad():
        loss = tail.at(leaves)
        slopes = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return [loss.detach(), *(slope for slope in slopes if slope is not None)]


def _are_close(first: list[Tensor], second: list[Tensor]) -> bool:
    if len(first) != len(second):
        return False
    pairs = zip(first, second, strict=True)
    return all(torch.allclose(a, b, rtol=1e-4, atol=1e-5 * _size(a) + 1e-12) for a, b in pairs)


def _size(tensor: Tensor) -> float:
    return float(tensor.abs().max()) if tensor.numel() else 0.0
