"""What operators do to the axes of their tensors: which they keep, move, join and make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from pytest_initcheck.capture.axis_layout import (
    Atom,
    AxisLayout,
    laid_out,
    named_axes,
    summed_to_one,
)

# The same values in another shape.
VIEWS = frozenset(
    {"view", "_unsafe_view", "_reshape_alias", "reshape", "_reshape_copy", "squeeze", "unsqueeze"}
)
# Beside what is pointwise: each value, or what is made of it, where it was.
_KEPT = frozenset(
    {
        "clone", "alias", "detach", "_to_copy", "contiguous", "lift_fresh", "copy", "masked_fill",
        "native_dropout", "native_batch_norm", "_native_batch_norm_legit", "native_group_norm",
        "cudnn_batch_norm", "_log_softmax", "native_layer_norm", "cumsum",
        "_batch_norm_with_update", "rrelu_with_noise",
    }
)  # fmt: skip
SOFTMAX = frozenset({"_softmax"})
REDUCED = frozenset({"mean", "sum", "amax", "amin", "logsumexp", "var", "std", "prod"})
_CUT = frozenset(
    {"slice", "split", "split_with_sizes", "chunk", "narrow", "unsafe_split", "constant_pad_nd"}
)
# Matrix products, by the place of the left factor among the arguments.
PRODUCTS = {"mm": 0, "addmm": 1, "bmm": 0, "baddbmm": 1}
Axes = list[tuple[Atom, ...]]


@dataclass(kw_only=True, slots=True)
class AxisCall:
    """One operator, with the layouts of the tensors that it received; None where not known."""

    name: str
    args: tuple[Any, ...]
    given: tuple[tuple[Tensor, AxisLayout | None], ...]
    shape: tuple[int, ...]
    is_pointwise: bool

    def at(self, place: int) -> AxisLayout | None:
        """The layout of an argument."""
        wanted = self.args[place] if place < len(self.args) else None
        return next((layout for tensor, layout in self.given if tensor is wanted), None)

    @property
    def known(self) -> list[AxisLayout]:
        """The layouts that are known, in the order of the arguments."""
        return [layout for _, layout in self.given if layout is not None]


def dims_of(call: AxisCall, count: int) -> set[int]:
    """The axes over which a call reduces."""
    dims = call.args[1] if len(call.args) > 1 else None
    if isinstance(dims, (list, tuple)) and dims:
        return {dim % max(count, 1) for dim in dims}
    return {*range(count)}


def dim_of(call: AxisCall) -> int:
    """The one axis that a call names, the first where it names none."""
    found = call.args[1] if len(call.args) > 1 else 0
    return found if isinstance(found, int) else 0


def made(call: AxisCall) -> AxisLayout | None:
    """The layout of what a call makes, None where its axes are its own."""
    layout = _made(call)
    if layout is None or call.name in (*PRODUCTS, "convolution"):
        return layout
    is_opened = any(known.is_opened or opens(call, known) for known in call.known)
    # One that stays as it is keeps what it has been asked.
    return layout if layout.is_opened == is_opened else replace(layout, is_opened=is_opened)


def opens(call: AxisCall, given: AxisLayout) -> bool:
    """Whether a call puts an axis of one value into what it is given, or leaves one behind."""
    if call.name in REDUCED:
        return len(call.shape) == len(given.shape)
    return call.name in VIEWS and call.shape.count(1) > given.shape.count(1)


def _made(call: AxisCall) -> AxisLayout | None:
    if call.is_pointwise:
        return _pointwise(call)
    if call.name in SOFTMAX:
        return normalised(call)
    if call.name in PRODUCTS:
        return _product(call)
    if call.name == "embedding":
        place = call.at(1)
        return laid_out([*place.axes(), *_units(call)]) if place else None
    if call.name in ("cat", "stack"):
        return _joined(call)
    first = call.at(0)
    if first is None:
        return None
    if call.name in _KEPT:
        return first
    if call.name in VIEWS:
        # A view as another type has another number of values.
        is_whole = math.prod(call.shape) == math.prod(first.shape)
        return replace(first, shape=call.shape) if is_whole else None
    return _moved(call, first)


def normalised(call: AxisCall) -> AxisLayout | None:
    """The layout of what a softmax makes, the axis along which it sums to one marked."""
    first = call.at(0)
    if first is None or not first.shape:
        return first
    return summed_to_one(first, dim_of(call) % len(first.shape))


def _units(call: AxisCall) -> Axes:
    """The last axis of the result, as one that a layer made."""
    return named_axes(call.shape[-1:], unit=0)


def _moved(call: AxisCall, first: AxisLayout) -> AxisLayout | None:
    name, axes = call.name, first.axes()
    if name == "permute":
        return laid_out([axes[axis] for axis in call.args[1]])
    if name == "t":
        return laid_out(axes[::-1])
    if name == "transpose":
        a, b = (axis % max(len(axes), 1) for axis in call.args[1:3])
        order = {a: b, b: a}
        return laid_out([axes[order.get(axis, axis)] for axis in range(len(axes))])
    if name in ("select", "unbind"):
        gone = dim_of(call) % len(axes)
        return laid_out([atoms for axis, atoms in enumerate(axes) if axis != gone])
    if name == "convolution":
        unit = named_axes(call.shape[1:2], unit=0)
        return laid_out(_resized(call.shape, [axes[0], *unit, *axes[2:]]))
    if name == "expand":
        return laid_out(_resized(call.shape, [()] * (len(call.shape) - len(axes)) + axes))
    if name in REDUCED:
        return _reduced(call, axes)
    return _cut(call, first) if name in _CUT else None


def _resized(shape: Sequence[int], axes: Axes) -> Axes:
    """The axes, new ones where a size has changed."""
    fresh = named_axes(shape)
    return [
        old if laid_out([old]).shape[0] == size else new
        for old, new, size in zip(axes, fresh, shape, strict=True)
    ]


def _cut(call: AxisCall, first: AxisLayout) -> AxisLayout | None:
    """What slices leave: axes that lie across each other are then put right on purpose."""
    if first.shape == call.shape:
        return first
    if len(first.shape) != len(call.shape):
        return None
    changed = {i for i, size in enumerate(call.shape) if size != first.shape[i]}
    for region in first.regions():
        if region.kind is not None and changed & {*range(region.first, region.last + 1)}:
            return None
    axes = first.axes()
    if any(atom.mixed for axis in changed for atom in axes[axis]):
        return None
    return laid_out(_resized(call.shape, axes))


def _reduced(call: AxisCall, axes: Axes) -> AxisLayout:
    gone = dims_of(call, len(axes))
    if len(call.shape) == len(axes):
        return laid_out([() if axis in gone else atoms for axis, atoms in enumerate(axes)])
    return laid_out([atoms for axis, atoms in enumerate(axes) if axis not in gone])


def _joined(call: AxisCall) -> AxisLayout | None:
    first = call.known[0]
    axes, axis = first.axes(), dim_of(call)
    if call.name == "stack":
        axis %= len(axes) + 1
        axes.insert(axis, ())
    if len(axes) != len(call.shape):
        return None
    return laid_out(_resized(call.shape, axes))


def _pointwise(call: AxisCall) -> AxisLayout | None:
    alike = [layout for layout in call.known if layout.shape == call.shape]
    if alike and call.name.endswith("_backward"):
        # A gradient lies along the axes of the value that it is the gradient of.
        return alike[-1]
    if alike:
        found = next((layout for layout in alike if layout.seen is None), alike[0])
        if call.name == "div" and len(call.given) > 1:
            return _unmarked(found)
        return _marked_by(found, alike) if call.name == "mul" and len(alike) > 1 else found
    count = len(call.shape)
    fresh = named_axes(call.shape)
    for layout in call.known:
        axes = layout.axes()
        for axis, atoms in enumerate(axes, count - len(axes)):
            if axis >= 0 and laid_out([atoms]).shape[0] == call.shape[axis]:
                fresh[axis] = atoms
    return laid_out(fresh)


def _marked_by(layout: AxisLayout, factors: Sequence[AxisLayout]) -> AxisLayout:
    """The layout of a product of several, with the marks of all of them."""
    if len({factor.atoms for factor in factors}) > 1:
        return layout
    columns = zip(*(factor.atoms for factor in factors), strict=True)
    marks = [any(atom.is_summed_to_one for atom in column) for column in columns]
    pairs = zip(layout.atoms, marks, strict=True)
    atoms = tuple(replace(atom, is_summed_to_one=mark) for atom, mark in pairs)
    return replace(layout, atoms=atoms)


def _unmarked(layout: AxisLayout) -> AxisLayout:
    """The same for what was divided by other values: it sums to one no more, or along others."""
    atoms = tuple(replace(atom, is_summed_to_one=False) for atom in layout.atoms)
    return replace(layout, atoms=atoms)


def _product(call: AxisCall) -> AxisLayout | None:
    """Rows of the left, columns of the right; what a weight makes are units."""
    place = PRODUCTS[call.name]
    left, right = call.at(place), call.at(place + 1)
    rows = left.axes()[:-1] if left else None
    columns = right.axes() if right else None
    if rows is None and columns is not None:
        rows = [*columns[:-2], *named_axes(call.shape[-2:-1], unit=0)]
    if rows is None:
        return None
    last = columns[-1:] if columns else _units(call)
    seen = left.seen if left else None
    return replace(laid_out([*rows, *last]), seen=seen)
