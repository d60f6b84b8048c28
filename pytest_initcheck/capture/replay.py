"""A traced pass that is taken again: what its operators read and are is known from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from pytest_initcheck.capture.nonlinearity import Nonlinearity
from pytest_initcheck.capture.operation import Operation, Origin
from pytest_initcheck.evidence import Node

_DETACH = torch.ops.aten.detach.default
Claims = tuple[tuple[int, Origin], ...]
Reads = tuple[tuple[int, tuple[str, ...]] | None, ...]


def reads_of(origins: Sequence[Origin | None]) -> Reads:
    """Which node made each tensor that an operator reads, of which parameters; None: unknown."""
    return tuple((origin.node, origin.params) if origin else None for origin in origins)


@dataclass(frozen=True, kw_only=True)
class Event:
    """What is measured at an operator: a nonlinearity, or a layer and what it ``received``, by its
    place among the tensors that the operator reads, which is ``raw`` where it is data."""

    reads: Reads
    nonlinearity: Nonlinearity | None = None
    received: int | None = None
    is_raw: bool = False


@dataclass(kw_only=True, slots=True)
class Step:
    """One operator of a pass: the ``nodes`` that the trace holds of it, and by its place which of
    its results is made of what. ``is_special``: it has to be looked at in every pass."""

    func: Any
    owner: str
    nodes: tuple[Node, ...] = ()
    claims: Claims = ()
    event: Event | None = None
    is_special: bool = False


def event_at(call: Operation, node: Node, found: Nonlinearity | None) -> Event | None:
    """What is to be measured at an operator: the nonlinearity that it is, or the layer."""
    if found is None and not node.is_layer:
        return None
    received, is_raw = call.received()
    places = {id(tensor): place for place, tensor in enumerate(call.tensors)}
    return Event(
        reads=reads_of(call.origins),
        nonlinearity=found,
        received=None if received is None else places[id(received)],
        is_raw=is_raw,
    )


def claims_on(results: Sequence[Tensor], claims: Sequence[tuple[int, Origin]]) -> Claims:
    """What is known of the results of an operator, by their place among them."""
    places = {id(tensor): place for place, tensor in enumerate(results)}
    return tuple([(places[key], origin) for key, origin in claims])


class Plan:
    """The operators of the first pass, in their order; ``axes`` are those of the weights' units.

    A later pass that runs the same operators in the same modules on the same values need not ask
    again what they are. It still notes what each of them makes, so that a pass that goes another
    way can be traced in full from there on.
    """

    def __init__(self) -> None:
        self.axes: dict[str, int | None] = {}
        self._steps: list[Step] = []
        self._place = 0
        self._is_lost = False
        self.is_recording = True

    @property
    def latest(self) -> Step:
        """What the first pass noted last."""
        return self._steps[-1]

    def rewind(self) -> None:
        """Begin a pass."""
        self.is_recording = not self._steps
        self._place, self._is_lost = 0, False

    def record(
        self,
        func: Any,
        owner: str,
        nodes: Sequence[Node],
        claims: Claims,
        event: Event | None,
        *,
        is_special: bool,
    ) -> None:
        """Note what the first pass has just done."""
        self._steps.append(
            Step(
                func=func,
                owner=owner,
                nodes=tuple(nodes),
                claims=claims,
                event=event,
                is_special=is_special,
            )
        )

    def following(self, func: Any, owner: str) -> Step | None:
        """The step to be taken again; None where the operator has to be looked at."""
        if self.is_recording or self._is_lost:
            return None
        place = self._place
        if func is not _DETACH:
            place = self._after_copies(place)
        step = self._steps[place] if place < len(self._steps) else None
        if step is None or step.func is not func or step.owner != owner:
            self.leave()
            return None
        self._place = place + 1
        return None if step.is_special else step

    def _after_copies(self, place: int) -> int:
        """The next step that is no detached copy: of a pass under several modes torch 2.6 makes
        copies of its own, which a pass under one does not have."""
        while place < len(self._steps) and self._steps[place].func is _DETACH:
            place += 1
        return place

    def leave(self) -> None:
        """The pass goes another way from here on."""
        self._is_lost = True
