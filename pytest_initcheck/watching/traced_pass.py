"""One pass of a training, measured while it runs, and its gradients as they come."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from typing import Any

from torch import Tensor, nn

from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.effective_samples import EffectiveSamples
from pytest_initcheck.capture.fingerprint import Fingerprints, combined
from pytest_initcheck.capture.parameter_slots import ParameterSlots
from pytest_initcheck.capture.program import main_tensor, tensors_of
from pytest_initcheck.capture.randomness import stream_positions
from pytest_initcheck.capture.replay import Plan
from pytest_initcheck.capture.signal_stats import SignalRecorder, unscaled
from pytest_initcheck.capture.snapshot import fingerprints
from pytest_initcheck.capture.tensor_stats import Summary, summarise
from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.watching.reading import Reading

# So many values tell the share in each of 32 bins to a hundredth.
BINNED = 1 << 11
# Operators that do within one kernel what others do in many, so that nothing inside is seen.
_FUSED = ("_rnn", "_scaled_dot_product")


class TracedPass:
    """What one pass shows; where it never begins, the parameters alone are measured.

    ``is_first``: it also notes all that decides its numbers, for a comparison with others;
    ``known`` are the layers for which a nonlinearity stands, where an earlier pass has shown them.
    """

    def __init__(
        self,
        model: nn.Module,
        plan: Plan,
        known: Collection[str] | None,
        scale: Tensor | None,
        *,
        is_first: bool,
    ) -> None:
        self.model, self.scale, self.is_first = model, scale, is_first
        self.ledger = DeferredRead()
        self._recorder = SignalRecorder(self.ledger, sampled=BINNED, known=known, scale=scale)
        self.tracer = Tracer(model, self._recorder.observer(), plan)
        self._recorder.tracer = self.tracer
        self._stack = ExitStack()
        self._given: dict[str, Fingerprints] = {}
        self._rows = EffectiveSamples((), self.ledger)
        self._streams: tuple[object, ...] = ()
        self._is_drawn = False
        self._output: Summary | None = None
        self.depth = 0

    @property
    def is_reached(self) -> bool:
        """Whether a backward pass has come through it."""
        return self._recorder.has_gradients

    def begin(self, given: Any) -> None:
        """The model is called on ``given``; within that call it may call itself."""
        self.depth += 1
        if self.depth > 1:
            return
        if self.is_first:
            self._given = fingerprints(given, self.model, self.ledger)
            self._rows = EffectiveSamples(tensors_of(given), self.ledger)
            self._streams = stream_positions()
        self.tracer.add_data(given)
        self._stack.enter_context(self.tracer.joined())

    def end(self, output: Any) -> None:
        """The call returns ``output``, None where it raised."""
        self.depth -= 1
        if self.depth:
            return
        self._stack.close()
        self._is_drawn = self.is_first and stream_positions() != self._streams
        result = main_tensor(output) if output is not None else None
        if isinstance(result, Tensor):
            self._output = summarise(result, self.ledger, sampled=BINNED)

    def put(self, parameter: Tensor, scale: Tensor | None) -> ParameterSlots:
        """Measure a parameter and its gradient, which may still be scaled."""
        ledger, gradient = self.ledger, parameter.grad
        gradient = None if gradient is None else unscaled(gradient, scale)
        return ParameterSlots(
            weight=summarise(parameter, ledger, is_identified=self.is_first, sampled=BINNED),
            gradient=None if gradient is None else summarise(gradient, ledger, sampled=BINNED),
        )

    def finish(self, slots: dict[str, ParameterSlots], losses: Sequence[Tensor]) -> Reading:
        """Fetch all of it in one host read; ``losses`` sum up to that of the step."""
        places = [self.ledger.put(loss) for loss in losses]
        self.ledger.read()
        self._recorder.close()
        return Reading(
            ledger=self.ledger,
            recorder=self._recorder,
            slots=slots,
            nodes=tuple(self.tracer.nodes),
            loss=sum(float(self.ledger[place][0]) for place in places) if places else None,
            output=self._output,
            given=self._given,
            streams=combined(map(str, self._streams)) if self._is_drawn else "",
            rows=self._rows,
            not_observed=frozenset(self._not_observed()),
        )

    def _not_observed(self) -> set[str]:
        """What ran and could not be looked into."""
        fused = {
            f"{node.owner or 'model'}: inside of {node.operator}"
            for node in self.tracer.nodes
            if any(part in node.operator for part in _FUSED)
        }
        return {*self.tracer.foreign, *fused}
