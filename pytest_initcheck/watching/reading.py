"""What a step has shown, as it was read: a snapshot is made of it when someone asks."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.effective_samples import EffectiveSamples
from pytest_initcheck.capture.fingerprint import Fingerprints
from pytest_initcheck.capture.parameter_slots import ParameterSlots
from pytest_initcheck.capture.signal_stats import SignalRecorder
from pytest_initcheck.capture.snapshot import inside_of
from pytest_initcheck.capture.tensor_stats import Summary
from pytest_initcheck.evidence import Node, Snapshot


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The numbers of one look, and which is which; a ``loss`` of None is not known."""

    ledger: DeferredRead
    recorder: SignalRecorder
    slots: dict[str, ParameterSlots]
    nodes: tuple[Node, ...]
    loss: float | None
    output: Summary | None
    given: dict[str, Fingerprints]
    streams: str
    rows: EffectiveSamples
    not_observed: frozenset[str]

    @property
    def gradient_norm(self) -> float:
        """Of all parameters together."""
        found = (slot.gradient for slot in self.slots.values())
        return math.sqrt(sum(summary.square(self.ledger) for summary in found if summary))

    def snapshot(self, step: int) -> Snapshot:
        """The look, taken after so many steps."""
        received = self.recorder.inputs()
        digests = {key: marks.digest() for key, marks in self.given.items()}
        return Snapshot(
            step=step,
            loss=math.nan if self.loss is None else self.loss,
            parameters={name: slot.look(self.ledger) for name, slot in self.slots.items()},
            sites=self.recorder.sites(inside_of(self.nodes)),
            outputs=self.recorder.outputs(),
            inputs=next(iter(received.values()), None),
            result=self.output.stats(self.ledger) if self.output else None,
            layer_inputs=received,
            digests={**digests, "streams": self.streams} if self.streams else digests,
            effective_samples=self.rows.number(),
        )
