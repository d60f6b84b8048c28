"""Weighted sums along another axis than the one along which their weights sum to one."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_initcheck.capture.axis_layout import Atom, AxisLayout
from pytest_initcheck.capture.axis_rules import PRODUCTS, AxisCall
from pytest_initcheck.evidence import Crossing


def turned_weights(call: AxisCall, owner: str | None) -> Crossing | None:
    """The product that sums over one of two axes that are the same axis of the program, where a
    softmax ran along the other.

    So it is with attention of positions to each other whose softmax runs over the queries. Places
    and clusters, parts and wholes, or nodes with weights of their own are different axes.
    """
    place = PRODUCTS.get(call.name)
    if place is None:
        return None
    for layout, along in _factors(call, place):
        axes = layout.axes()
        summed = axes[along]
        if summed and not _sums_to_one(summed) and any(_is_turned(a, summed) for a in axes):
            shapes = layout.shape, call.shape
            return Crossing(owner=owner, operator=call.name, shapes=shapes, shape=call.shape)
    return None


def _factors(call: AxisCall, place: int) -> Iterator[tuple[AxisLayout, int]]:
    """What is multiplied, each with the axis that the product sums over."""
    for layout, along in ((call.at(place), -1), (call.at(place + 1), -2)):
        if layout is not None and len(layout.shape) > 1:
            yield layout, along


def _is_turned(atoms: tuple[Atom, ...], summed: tuple[Atom, ...]) -> bool:
    return atoms == summed and _sums_to_one(atoms)


def _sums_to_one(atoms: tuple[Atom, ...]) -> bool:
    return bool(atoms) and all(atom.is_summed_to_one for atom in atoms)
