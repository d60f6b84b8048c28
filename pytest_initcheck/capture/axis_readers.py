"""Which axes an operator reads by their meaning, and whether a reshape has mixed these up."""

from __future__ import annotations

from pytest_initcheck.capture.axis_layout import Atom, AxisLayout, is_suspect, joined
from pytest_initcheck.capture.axis_rules import PRODUCTS, REDUCED, AxisCall, dim_of, dims_of
from pytest_initcheck.evidence import Reshape

_COMPARED = frozenset({"mse_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy"})


def mixed_in(layout: AxisLayout, axes: set[int], *, is_ordered: bool) -> Reshape | None:
    """The reshape that left, in the axes that are read, what belongs to others.

    Who reads all that was mixed in any order, as a mean does, reads what it would have read anyway.
    """
    for region in layout.regions() if layout.seen else ():
        span = range(region.first, region.last + 1)
        wide = {axis for axis in span if layout.shape[axis] > 1}
        hit = wide & axes
        is_read = bool(hit & region.mixed) and (is_ordered or hit != wide)
        if region.kind == "stacked":
            # The innermost axis of a stack is what a layer on stacked frames reads.
            is_read = is_ordered and bool(hit - {max(wide, default=0)})
        if is_read and is_suspect(region):
            return layout.seen
    return _marked(layout, axes, is_ordered=is_ordered)


def _marked(layout: AxisLayout, axes: set[int], *, is_ordered: bool) -> Reshape | None:
    """The same for axes that were moved after they were mixed up."""
    found: dict[int, list[Atom]] = {}
    for axis, atoms in enumerate(layout.axes()):
        for atom in joined(atoms) if axis in axes else ():
            if atom.mixed is not None:
                found.setdefault(id(atom.mixed), []).append(atom)
    wanted = (m[0].mixed for m in found.values() if is_ordered or len(m) < m[0].parts)
    return next(wanted, None)


def reads(call: AxisCall) -> list[tuple[AxisLayout, set[int], bool]]:
    """The layouts that a call reads by meaning, along which axes, and whether in their order."""
    name = call.name
    if name in _COMPARED or call.is_pointwise:
        return _compared(call)
    if name in PRODUCTS:
        left, right = call.at(PRODUCTS[name]), call.at(PRODUCTS[name] + 1)
        found = [(left, {len(left.shape) - 1}, False)] if left else []
        return [*found, (right, {len(right.shape) - 2}, False)] if right else found
    first = call.at(0)
    if first is None:
        return []
    count = len(first.shape)
    if name == "convolution":
        kernel = call.args[1].shape[2:]
        return [(first, {1, *(axis + 2 for axis, size in enumerate(kernel) if size > 1)}, True)]
    if name in ("_softmax", "_log_softmax"):
        return [(first, {call.args[1] % max(count, 1)}, True)]
    if name == "native_layer_norm":
        return [(first, {*range(count - len(call.args[1]), count)}, False)]
    if name in REDUCED:
        return [(first, dims_of(call, count), False)]
    return [(first, {dim_of(call) % count}, False)] if name == "unbind" else []


def _compared(call: AxisCall) -> list[tuple[AxisLayout, set[int], bool]]:
    """Where axes that were mixed up meet those that were not."""
    pairs = [layout for t, layout in call.given if layout and t.is_floating_point()]
    mixed = [layout for layout in pairs if layout.seen and _is_mixed(layout)]
    if len(mixed) != 1:
        return []
    sound = [layout for layout in pairs if all(region.kind is None for region in layout.regions())]
    if sound and sound[0].shape == mixed[0].shape:
        return [(mixed[0], {*range(len(mixed[0].shape))}, True)]
    return []


def _is_mixed(layout: AxisLayout) -> bool:
    return any(is_suspect(region) and region.kind != "stacked" for region in layout.regions())
