"""The sense of a loss of classes: whether it prefers the right ones, and has any to choose from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from pytest_initcheck.evidence.objective import SURE
from pytest_initcheck.objective.between import after_output
from pytest_initcheck.objective.given_sides import given_sides
from pytest_initcheck.objective.reach import behind
from pytest_initcheck.objective.tail import Tail
from pytest_initcheck.objective.tape import TapeCall, Value

_SIGMOIDS = frozenset(
    {"sigmoid", "logsigmoid", "log_sigmoid", "binary_cross_entropy_with_logits",
     "multilabel_soft_margin_loss"}
)  # fmt: skip
_SOFTMAXES = frozenset({"softmax", "log_softmax", "cross_entropy"})
_PRODUCTS = frozenset({"mul", "__mul__", "__rmul__", "__imul__", "div", "__truediv__", "matmul"})
_SUMS = frozenset({"add", "__add__", "__radd__", "__iadd__"})
_HANDED_ON = frozenset(
    {"gather", "__getitem__", "take_along_dim", "index_select", "clamp", "clamp_min", "squeeze",
     "unsqueeze", "view", "reshape", "flatten"}
)  # fmt: skip
_COMPLEMENTS = frozenset({"__rsub__", "rsub", "neg", "__neg__"})
# Of the size of the loss, what the wrong answer is cheaper by.
_CHEAPER = 0.1


def is_over_one(tail: Tail) -> bool:
    """Whether every softmax that the loss takes of the output is over a single value."""
    widths = [_width(call) for call in after_output(tail) if call.name in _SOFTMAXES]
    return bool(widths) and all(width == 1 for width in widths)


def inverted(tail: Tail) -> tuple[float, float] | None:
    """The loss of being sure of the right and of the wrong classes, where that costs less.

    Asked of the last sigmoid or softmax before the loss whose values have the shape of targets
    from the batch, where all that follows is made of it and of the batch.
    """
    for call, rights in _asked(tail):
        losses = [_if_cheaper(tail, call, right) for right in rights]
        if losses and all(pair is not None for pair in losses):
            return losses[0]
    return None


def _asked(tail: Tail) -> Iterator[tuple[TapeCall, list[Tensor]]]:
    """Squashing calls, and the logits of size 1 of what may be the right classes."""
    sides = given_sides(tail)
    for place, call in enumerate(tail.calls):
        if call.name not in _SIGMOIDS | _SOFTMAXES or not call.inputs[0].is_free:
            continue
        later = tail.calls[place + 1 :]
        if not _is_alone(call, later) or _is_complement(call, later):
            continue
        rights = [_right(call, side) for side in sides]
        yield call, [right for right in rights if right is not None]


def _if_cheaper(tail: Tail, call: TapeCall, right: Tensor) -> tuple[float, float] | None:
    value = call.inputs[0]
    with torch.no_grad():
        start = tail.seen(value, tail.play(tail.start))
        there = behind(tail, value, start)
        try:
            sure, even, wrong = (
                float(there.at(tail.start, [right.to(start) * size])) for size in (SURE, 0.0, -SURE)
            )
        except Exception:
            # Other outputs may lie outside of what the loss is defined for.
            return None
    size = max(abs(sure), abs(even), abs(wrong))
    is_cheaper = math.isfinite(size) and sure > even > wrong and sure - wrong > _CHEAPER * size
    return (sure, wrong) if is_cheaper else None


def _right(call: TapeCall, side: Tensor) -> Tensor | None:
    """1 for the right class and 0, or −1 for a sigmoid, for the wrong ones; None if unknown."""
    shape = call.shapes[0]
    if call.name in _SIGMOIDS:
        is_binary = bool(((side == 0) | (side == 1)).all())
        is_mixed = is_binary and 0 < float(side.float().mean()) < 1
        return side.reshape(shape).float() * 2 - 1 if is_mixed and _fits(side, shape) else None
    axis, classes = _axis(call), _width(call)
    if classes < 2 or side.is_floating_point() or side.dtype == torch.bool:
        return None
    rest = shape[:axis] + shape[axis + 1 :]
    if not _fits(side, rest) or int(side.max()) >= classes:
        return None
    side = side.reshape(rest)
    known = side >= 0
    hot = torch.nn.functional.one_hot(side.clamp(min=0).long(), classes).movedim(-1, axis)
    return hot.float() * known.unsqueeze(axis)


def _fits(side: Tensor, shape: Sequence[int]) -> bool:
    """Whether targets have the shape of logits, but for axes of one or flattened ones."""
    is_flat = len(shape) > 1 and side.dim() in (1, 2)
    is_flat = is_flat and (side.dim() == 1 or side.shape[0] == shape[0])
    is_same = [n for n in side.shape if n != 1] == [n for n in shape if n != 1]
    return is_same or (is_flat and side.numel() == math.prod(shape))


def _axis(call: TapeCall) -> int:
    """The axis of the classes of a softmax."""
    dims = len(call.shapes[0])
    if call.name == "cross_entropy":
        return 1 if dims > 1 else 0
    given = [x for x in call.args[1:2] if isinstance(x, int)]
    axis: int = call.kwargs.get("dim", given[0] if given else -1)
    return axis % dims if dims else 0


def _width(call: TapeCall) -> int:
    shape = call.shapes[0]
    return shape[_axis(call)] if shape else 1


def _is_alone(call: TapeCall, later: Sequence[TapeCall]) -> bool:
    """Whether all that follows is made of one call and of data, but for terms that are added.

    And no other squashing follows.
    """
    made = {id(call)}
    for other in later:
        if not _reads(other, made):
            continue
        is_mixed = any(_is_foreign(value, made) for value in other.inputs)
        is_term = other.name in _SUMS and other.results == [()]
        # Returns of a policy turn the sense round where they are below zero.
        is_turned = other.name in _PRODUCTS and any(_is_negative(v) for v in other.inputs)
        if is_turned or (is_mixed and not is_term) or other.name in _SIGMOIDS | _SOFTMAXES:
            return False
        made.add(id(other))
    return True


def _is_complement(call: TapeCall, later: Sequence[TapeCall]) -> bool:
    """Whether only 1 − p, or −p, of what a call makes is read, also behind a choice of it."""
    made, readers = {id(call)}, list[TapeCall]()
    for other in later:
        if _reads(other, made):
            made |= {id(other)} if other.name in _HANDED_ON else set()
            readers += [] if other.name in _HANDED_ON else [other]
    return bool(readers) and all(other.name in _COMPLEMENTS for other in readers)


def _reads(call: TapeCall, made: set[int]) -> bool:
    return any(value.call is not None and id(value.call) in made for value in call.inputs)


def _is_negative(value: Value) -> bool:
    # Advantages are made of the batch, or of what a critic said of it.
    tensor = value.tensor if value.kind == "data" or value.is_cut else None
    return tensor is not None and tensor.is_floating_point() and bool((tensor < 0).any())


def _is_foreign(value: Value, made: set[int]) -> bool:
    return value.is_free and not (value.call is not None and id(value.call) in made)
