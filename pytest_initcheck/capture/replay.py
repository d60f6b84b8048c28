"""A traced pass that is taken again: what showed nothing the first time is only followed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pytest_initcheck.evidence import Node

Facts = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operator of a pass. ``nodes`` are what the trace holds of it, ``claims`` where in its
    results what lies; ``is_event``: something is measured there, in every pass."""

    func: Any
    owner: str
    nodes: tuple[Node, ...] = ()
    claims: tuple[tuple[int, Facts], ...] = ()
    is_event: bool = False


class Plan:
    """The operators of the first pass, in their order.

    A later pass that runs the same operators in the same modules need not ask again what each of
    them reads. It still notes what each of them makes, so that a pass that goes another way can be
    traced in full from there on.
    """

    def __init__(self) -> None:
        self._steps: list[Step] = []
        self._place = 0
        self._is_lost = False
        self.is_recording = True

    def rewind(self) -> None:
        """Begin a pass."""
        self.is_recording = not self._steps
        self._place, self._is_lost = 0, False

    def record(self, step: Step) -> None:
        """Note what the first pass has just done."""
        if self.is_recording:
            self._steps.append(step)

    def following(self, func: Any, owner: str) -> Step | None:
        """The step to be taken again; None where the operator has to be looked at."""
        if self.is_recording or self._is_lost:
            return None
        place = self._place
        step = self._steps[place] if place < len(self._steps) else None
        if step is None or step.func is not func or step.owner != owner:
            self._is_lost = True
            return None
        self._place = place + 1
        return None if step.is_event else step
