"""Calls like one before, but for the values that they read: what is known of them is noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.autograd_graph import AutogradGraph
from pytest_initcheck.capture.axis_layout import AxisLayout
from pytest_initcheck.capture.axis_mixing import Reshapes
from pytest_initcheck.capture.modes import Arguments, Options
from pytest_initcheck.capture.operation import Origin
from pytest_initcheck.capture.operators import LEAVES, Storages, storage_key
from pytest_initcheck.capture.replay import Plan
from pytest_initcheck.evidence import Node

_SIZED_BY_DATA = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}


class Reading(NamedTuple):
    """What a call reads: by what those like it are told, of which nodes which parts, and where in
    the order of layers these come from."""

    signature: tuple[Any, ...]
    inputs: list[int]
    parts: list[tuple[int, int]]
    orders: list[int]


@dataclass(kw_only=True, slots=True)
class _Known:
    """The node of a call that was looked at, where what it made comes from, how that lies in
    memory, and its axes, None where those of nothing that was read are known."""

    node: Node
    origin: Origin
    owner: str
    place: Any
    layout: AxisLayout | None


class Repeats:
    """Follows the calls of a pass that are like one that was looked at, as those of loops are.

    Alike are calls of one operator in one module with the same constants, on tensors that lie
    alike in memory, come from the same layers and have the same axes.
    """

    def __init__(
        self,
        nodes: list[Node],
        origins: dict[int, Origin],
        storages: Storages,
        reshapes: Reshapes,
        backward: AutogradGraph,
        plan: Plan,
    ) -> None:
        self._nodes, self._origins, self._storages = nodes, origins, storages
        self._reshapes, self._backward, self._plan = reshapes, backward, plan
        self._known: dict[Any, _Known] = {}
        # Held, so that no other gets their identity.
        self._layouts: dict[int, AxisLayout] = {}

    def reading(self, func: Any, state: Any, args: Arguments, kwargs: Options) -> Reading | None:
        """What a call in a ``state`` of the tracer reads; None where that has to be looked at."""
        signature: list[Any] = [func, state]
        reading = Reading((), [], [], [])
        named = [part for pair in kwargs.items() for part in pair] if kwargs else ()
        for item in (*args, *named):
            kind = type(item)
            if kind in LEAVES:
                # One is true, and 1.0, but not as text.
                signature += (kind, item)
            elif kind is Tensor or kind is nn.Parameter:
                told = self._told(item, reading)
                if told is None:
                    return None
                signature.append(told)
            elif not _are_numbers(item):
                return None
            else:
                signature.append((kind, *item))
        if reading.orders:
            # What is made belongs to the layer that worked last.
            signature.append(reading.orders.index(max(reading.orders)))
        return reading._replace(signature=tuple(signature))

    def _told(self, tensor: Tensor, reading: Reading) -> Any:
        key = storage_key(tensor)
        if not key or tensor.layout is not torch.strided or tensor.is_nested:
            return None
        place = tensor.storage_offset(), tensor.shape, tensor.stride()
        layout = self._reshapes.layout_at(key, (*place, tensor.dtype))
        axes = 0
        if layout is not None:
            axes = id(layout)
            self._layouts[axes] = layout
        origin = self._origins.get(key)
        if origin is not None and origin.is_parameter:
            return place, tensor.dtype, axes, origin.params
        if tensor.requires_grad and tensor.is_leaf:
            # It may be a weight that the model does not hold.
            return None
        if origin is None:
            return place, tensor.dtype, axes
        reading.inputs.append(origin.node)
        reading.parts.append((origin.node, hash(place)))
        reading.orders.append(origin.order)
        return place, tensor.dtype, axes, origin.layer, origin.is_data

    def is_known(self, reading: Reading) -> bool:
        """Whether a call that reads the like was looked at, and need not be again."""
        return reading.signature in self._known

    def follow(self, reading: Reading, func: Any, args: Arguments, kwargs: Options) -> Any:
        """Run a call that `is_known` and note it."""
        known = self._known[reading.signature]
        out = func(*args, **kwargs)
        node = _again(known.node, len(self._nodes), reading)
        made = Origin(
            node=node.index,
            layer=known.origin.layer,
            order=max(reading.orders, default=known.origin.order),
            is_data=known.origin.is_data,
        )
        self._nodes.append(node)
        key = self._storages.held(out)
        self._origins[key] = made
        self._backward.note(node.index, [out])
        if known.layout is not None:
            self._reshapes.put_at(key, known.place, known.layout)
        self._plan.record(func, known.owner, (node,), ((0, made),), None, is_special=False)
        return out

    def learn(self, reading: Reading, func: Any, out: Any, layout: AxisLayout | None) -> None:
        """Keep what was found of the call that was looked at last, where that is one node."""
        step = self._plan.latest
        if step.event is not None or len(step.nodes) != 1 or len(step.claims) != 1:
            return
        if not _is_new(func, out) or step.is_special or step.func is not func:
            return
        place = out.storage_offset(), out.shape, out.stride(), out.dtype
        self._known[reading.signature] = _Known(
            node=step.nodes[0],
            origin=step.claims[0][1],
            owner=step.owner,
            place=place,
            layout=layout,
        )


def _are_numbers(item: Any) -> bool:
    kind = type(item)
    return (kind is list or kind is tuple) and all(type(part) is int for part in item)


def _is_new(func: Any, out: Any) -> bool:
    """Whether an operator makes one new tensor, whose shape follows from those of what it reads."""
    schema = func._schema
    is_new = not schema.is_mutable and all(made.alias_info is None for made in schema.returns)
    return is_new and type(out) is Tensor and _SIZED_BY_DATA.isdisjoint(func.tags)


def _again(node: Node, index: int, reading: Reading) -> Node:
    return Node(
        index=index,
        operator=node.operator,
        owner=node.owner,
        inputs=tuple(dict.fromkeys(reading.inputs)),
        params=node.params,
        layer=node.layer,
        shape=node.shape,
        width=node.width,
        shut_off=node.shut_off,
        axis=node.axis,
        reads=frozenset(reading.parts),
        constants=node.constants,
    )
