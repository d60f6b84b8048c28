"""Broadcasts that lay what belongs to one sample against what belongs to all of them."""

from __future__ import annotations

import itertools
import math

from torch import Tensor

from pytest_initcheck.capture.axis_layout import Atom, AxisLayout
from pytest_initcheck.capture.axis_rules import AxisCall
from pytest_initcheck.capture.operators import storage_key
from pytest_initcheck.evidence import Crossing


def crossing(call: AxisCall, layout: AxisLayout, owner: str | None) -> Crossing | None:
    """The broadcast of (n, 1) with (n,) to (n, n), where both count the same axis by it.

    One of the two has an axis less, and none was put in: who compares all pairs writes the axis
    down, or compares a tensor with itself.
    """
    if not call.is_pointwise or len(call.given) < 2:
        return None
    for (one, first), (other, second) in itertools.combinations(call.given, 2):
        if first is None or second is None or one.dim() == other.dim():
            continue
        is_larger = math.prod(call.shape) > max(one.numel(), other.numel())
        is_meant = first.is_opened or second.is_opened or _are_same(one, other)
        if is_larger and not is_meant and _is_twice(layout):
            shapes = tuple(one.shape), tuple(other.shape)
            return Crossing(owner=owner, operator=call.name, shapes=shapes, shape=call.shape)
    return None


def _are_same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are views of the same values."""
    places = [(storage_key(each), each.storage_offset(), each.numel()) for each in (one, other)]
    return places[0] == places[1]


def _is_twice(layout: AxisLayout) -> bool:
    """Whether two axes are one and the same axis of the program."""
    held: list[tuple[Atom, ...]] = [atoms for atoms in layout.axes() if atoms]
    return any(a == b for a, b in itertools.combinations(held, 2))
