"""Follows the axes of the data through a pass, and sees where a reshape has mixed them up."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.axis_crossing import crossing
from pytest_initcheck.capture.axis_layout import (
    Atom,
    AxisLayout,
    Meant,
    intended,
    is_certain,
    is_shuffle,
    is_suspect,
    laid_out,
    named_axes,
)
from pytest_initcheck.capture.axis_readers import mixed_in, reads
from pytest_initcheck.capture.axis_rules import VIEWS, AxisCall, made
from pytest_initcheck.capture.axis_weights import turned_weights
from pytest_initcheck.capture.modes import Arguments, Options
from pytest_initcheck.capture.operators import (
    Storages,
    flat_tensors,
    storage_key,
    tensors_among,
)
from pytest_initcheck.capture.program import tensors_of
from pytest_initcheck.evidence import Crossing, Reshape

Given = tuple[tuple[Tensor, AxisLayout | None], ...]


class Reshapes:
    """Knows of every tensor made of the batch which axes it has; the tracer tells it of all calls.

    ``where`` is the module that runs, None outside of the model.
    """

    def __init__(self, storages: Storages) -> None:
        self._where: str | None = None
        self._storages = storages
        self._layouts: dict[int, dict[Any, AxisLayout]] = {}
        self._found: dict[Any, Reshape] = {}
        self.crossings: list[Crossing] = []
        self.turned: list[Crossing] = []

    @property
    def found(self) -> tuple[Reshape, ...]:
        """What was mixed up, in the order in which it was read."""
        return tuple(self._found.values())

    def add_data(self, batch: Any) -> None:
        """Name the axes of the batch; first ones of one size are the samples, and the same."""
        samples: dict[int, tuple[Atom, ...]] = {}
        for tensor in tensors_of(batch):
            axes = named_axes(tensor.shape)
            axes[:1] = [samples.setdefault(len(tensor), first) for first in axes[:1]]
            self._put(tensor, laid_out(axes))

    def received(self, args: Arguments, kwargs: Options) -> Given | None:
        """What a call that is about to run receives; None where no axes of it are known."""
        given = tuple([(tensor, self._get(tensor)) for tensor in tensors_among(args, kwargs)])
        return given if any(layout is not None for _, layout in given) else None

    def note(
        self, func: Any, args: Arguments, given: Given, out: Any, where: str | None
    ) -> AxisLayout | None:
        """What a call has made of what it ``received``, in the module ``where``.

        The layout of that, where it is one of those received, and will be in all calls like it.
        """
        strided = torch.strided
        results = [t for t in flat_tensors(out) if t.layout == strided and not t.is_nested]
        if not results:
            return None
        self._where = where
        (name, is_pointwise), shape = _known_of(func), tuple(results[0].shape)
        call = AxisCall(name=name, args=args, given=given, shape=shape, is_pointwise=is_pointwise)
        for layout, axes, is_ordered in reads(call):
            self._read(call, layout, axes, is_ordered=is_ordered)
        turned = turned_weights(call, where)
        if turned is not None:
            self.turned.append(turned)
        carried = made(call)
        if carried is not None and name in VIEWS:
            carried = self._seen(call, carried)
        crossed = crossing(call, carried, where) if carried is not None else None
        if crossed is not None:
            self.crossings.append(crossed)
        for result in results:
            shape = tuple(result.shape)
            # What an operator unknown here makes has axes of its own.
            is_known = carried is not None and carried.shape == shape
            self._put(result, carried if carried and is_known else laid_out(named_axes(shape)))
        is_told = turned is not None or crossed is not None
        return None if is_told or not _is_kept(call, carried) else carried

    def _seen(self, call: AxisCall, layout: AxisLayout) -> AxisLayout:
        """The layout with the reshape that laid its axes across each other, if one did."""
        mixing = next((r for r in layout.regions() if is_suspect(r)), None)
        given = call.at(0)
        if mixing is None or given is None:
            return layout
        after, made_of = _plain(layout.shape), layout.made
        is_told = layout.seen and _core(layout.seen) == _stripped(made_of, after)
        if is_told or any(map(is_suspect, given.regions())):
            return layout
        # What was just viewed may be parts of the axes that a layer has made, or some as one.
        before = next((b for b in (_plain(given.shape), made_of) if _meant(b, after)), made_of)
        meant = _meant(before, after)
        seen = Reshape(
            owner=self._where,
            operator=call.name.strip("_"),
            before=before,
            after=after,
            parts=meant.parts if meant else (),
            order=meant.order if meant else (),
            is_shuffle=meant is None and is_shuffle(*_stripped(before, after)),
            is_certain=is_certain(mixing),
        )
        return replace(layout, seen=seen)

    def _read(
        self, call: AxisCall, layout: AxisLayout, axes: set[int], *, is_ordered: bool
    ) -> None:
        seen = mixed_in(layout, axes, is_ordered=is_ordered)
        if seen is None:
            return
        core = _core(seen)
        # A view back to what was there before is told with the first.
        if core[::-1] not in self._found:
            read = replace(seen, reader=call.name.strip("_"), read_in=self._where)
            self._found.setdefault(core, read)

    def _get(self, tensor: Tensor) -> AxisLayout | None:
        return self.layout_at(storage_key(tensor), _seen_as(tensor))

    def layout_at(self, key: int, place: Any) -> AxisLayout | None:
        """The layout of what lies at a ``place`` of a storage, where it is known."""
        held = self._layouts.get(key)
        return held.get(place) if held else None

    def put_at(self, key: int, place: Any, layout: AxisLayout) -> None:
        """The same for a new tensor."""
        self._layouts.setdefault(key, {})[place] = layout

    def _put(self, tensor: Tensor, layout: AxisLayout) -> None:
        key = self._storages.held(tensor) if tensor.numel() else 0
        if key:
            self.put_at(key, _seen_as(tensor), layout)


def _is_kept(call: AxisCall, carried: AxisLayout | None) -> bool:
    """Whether a call hands on one of the layouts that it received, whatever it is given."""
    known = [(tensor.dim(), layout) for tensor, layout in call.given if layout is not None]
    # Whether tensors of several ranks cross goes by where they lie.
    is_even = len({rank for rank, _ in known}) == 1
    is_one = any(layout is carried for _, layout in known)
    return is_even and is_one and carried is not None and carried.shape == call.shape


@functools.cache
def _known_of(func: Any) -> tuple[str, bool]:
    """The name of an operator, and whether it works on each value by itself."""
    return func.overloadpacket.__name__.rstrip("_"), torch.Tag.pointwise in func.tags


def _seen_as(tensor: Tensor) -> Any:
    return tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype


def _plain(shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(size for size in shape if size > 1)


def _stripped(
    before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Both without the axes that they begin and end with alike."""
    start = _alike(before, after)
    before, after = before[start:], after[start:]
    end = _alike(before[::-1], after[::-1])
    return before[: len(before) - end], after[: len(after) - end]


def _alike(before: tuple[int, ...], after: tuple[int, ...]) -> int:
    """With how many equal sizes both begin."""
    pairs = zip(before, after, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(before), len(after)))


def _core(seen: Reshape) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return _stripped(seen.before, seen.after)


def _meant(before: tuple[int, ...], after: tuple[int, ...]) -> Meant | None:
    """How the axes had to be moved; those that stay where they are keep their places."""
    given, taken = _stripped(before, after)
    found = intended(given, taken)
    if found is None or found.order == tuple(range(len(found.order))):
        return None
    start = _alike(before, after)
    parts = (*before[:start], *found.parts, *before[start + len(given) :])
    order = (*range(start), *(start + place for place in found.order))
    return Meant(parts, (*order, *range(len(order), len(parts))))
