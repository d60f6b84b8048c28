"""What an operation does that brings samples together: pools them, compares them, picks rows."""

from __future__ import annotations

import math
from typing import Any

from pytest_initcheck.dependence.fingerprints import Spread
from pytest_initcheck.dependence.steps import Frame, Move

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "matmul", "mv", "dot", "addbmm")
_REDUCTIONS = {
    "mean", "sum", "nansum", "nanmean", "prod", "amax", "amin", "max", "min", "aminmax", "median",
    "nanmedian", "var", "std", "var_mean", "std_mean", "norm", "linalg_vector_norm", "logsumexp",
    "argmax", "argmin", "any", "all", "count_nonzero",
}  # fmt: skip
_PICKS = ("index", "gather", "scatter", "sort", "topk", "roll", "flip", "take", "cum", "unique",
          "nonzero", "searchsorted", "masked_select", "kthvalue")  # fmt: skip
_DISTANCES = ("_cdist_forward", "_euclidean_dist", "_pdist_forward")


def is_replayable(operator: str) -> bool:
    """Whether the results of an operator may be statistics of the batch, to be held."""
    return operator in _REDUCTIONS or operator in PRODUCTS


def moves_through_softmax(move: Move) -> bool:
    """Whether it is a softmax, of whatever name."""
    return "softmax" in move.operator


def pooled(move: Move, count: int) -> bool:
    """Whether samples are summed up to something that belongs to none of them."""
    result, axis = move.result, narrow_axis(move, count)
    if result is None or axis is None:
        return False
    if move.operator in PRODUCTS:
        return _operand_axes(move, count) == (-1, -2)
    return move.operator in _REDUCTIONS and axis in reduced(move, len(_narrow(move, count).shape))


def reduced(move: Move, dims: int) -> set[int]:
    """The axes that a reduction takes away."""
    given = move.arguments.get("dim")
    axes = [given] if isinstance(given, int) else list(given or range(dims))
    return {axis % max(dims, 1) for axis in axes}


def pairs(move: Move, count: int) -> bool:
    """Whether each sample is held against each: two axes of the result count them."""
    result, axis = move.result, narrow_axis(move, count)
    if result is None or axis is None:
        return False
    if move.operator in PRODUCTS:
        return _operand_axes(move, count) == (-2, -1)
    before = _narrow(move, count)
    size = before.shape[axis]
    is_wider = result.shape.count(size) > before.shape.count(size)
    return move.operator in _DISTANCES or (len(move.moved) > 1 and is_wider)


def _operand_axes(move: Move, count: int) -> tuple[int, ...]:
    """Along which axis of each operand of a product the samples lie, counted from the end."""
    operands = [spread for spread in move.inputs[-2:] if spread is not None]
    axes = [(spread, spread.narrowest(count)) for spread in operands if not spread.is_still]
    return tuple(axis - len(spread.shape) for spread, axis in axes if axis is not None)


def picks(move: Move) -> bool:
    """Whether indices, masks or an order say which rows go where."""
    return any(word in move.operator for word in _PICKS)


def mixes_by_matrix(move: Move) -> bool:
    """Whether a matrix that no sample changes says how the samples are mixed."""
    return (move.operator in PRODUCTS or "sparse" in move.operator) and len(move.moved) == 1


def softmax_axis(move: Move) -> int:
    """The axis of a softmax, from the front."""
    axis, dims = int(move.arguments["dim"]), max(move.tensors[0].dim(), 1)
    return axis % dims


def normalises_over(move: Move, axis: int) -> bool:
    """Whether it is a layer normalisation that takes its statistics along an axis."""
    if move.operator not in ("native_layer_norm", "_fused_rms_norm", "rms_norm"):
        return False
    shape: Any = move.arguments.get("normalized_shape", ())
    return axis >= move.tensors[0].dim() - len(shape)


def narrow_axis(move: Move, count: int) -> int | None:
    """The axis of the input along which the samples lie."""
    return _narrow(move, count).narrowest(count) if move.moved else None


def is_recurrence(move: Move) -> bool:
    """Whether it is a recurrent layer."""
    return move.operator == "recurrence"


def tokens(frame: Frame, count: int) -> int:
    """How many positions each sample has in what a module received, 1 where none is known."""
    shape = next(iter(frame.shapes), ())
    if count not in shape:
        sizes = [size for size in shape if size % count == 0]
        count = sizes[0] if sizes else count
    if count not in shape:
        return 1
    rest = list(shape[:-1] if frame.is_float else shape)
    if count in rest:
        rest.remove(count)
    return math.prod(rest)


def _narrow(move: Move, count: int) -> Spread:
    return min(move.moved, key=lambda spread: (_share(spread, count), spread.share))


def _share(spread: Spread, count: int) -> float:
    axis = spread.narrowest(count)
    return 1.0 if axis is None else float(spread.flags[axis].mean())
