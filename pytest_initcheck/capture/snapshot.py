"""One look at a model: a forward and a backward pass, measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.across import Across, Kind
from pytest_initcheck.capture.anchors import Anchors
from pytest_initcheck.capture.attached import Attached
from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.eager import operator_by_operator
from pytest_initcheck.capture.effective_samples import EffectiveSamples
from pytest_initcheck.capture.fingerprint import Fingerprints, combined
from pytest_initcheck.capture.head_stats import HeadRecorder
from pytest_initcheck.capture.hints import for_backward
from pytest_initcheck.capture.observer import Observer, Witness
from pytest_initcheck.capture.parameter_facts import describe_parameter
from pytest_initcheck.capture.parameter_slots import (
    Asked,
    ParameterSlots,
    alike,
    put_parameter,
)
from pytest_initcheck.capture.program import Program, Result, main_tensor, refused, tensors_of
from pytest_initcheck.capture.randomness import stream_positions
from pytest_initcheck.capture.replay import Plan
from pytest_initcheck.capture.restore import clear_gradients, highest
from pytest_initcheck.capture.router_stats import RouterRecorder
from pytest_initcheck.capture.settled import Settled, settled_by
from pytest_initcheck.capture.signal_stats import SignalRecorder, put_variation
from pytest_initcheck.capture.tensor_stats import Summary, summarise
from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.evidence import Crossing, Node, Parameter, Reshape, Snapshot
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.ranks.buckets import at_hand
from pytest_initcheck.ranks.dtensors import whole


@dataclass(frozen=True, kw_only=True)
class Taken:
    """A look with what the trace showed beside it."""

    snapshot: Snapshot
    nodes: tuple[Node, ...]
    result: Result
    order: tuple[str, ...] = ()
    parameters: dict[str, Parameter] = field(default_factory=dict)
    output_nodes: frozenset[int] = frozenset()
    backward_nodes: frozenset[int] = frozenset()
    vanished: tuple[str, ...] = ()
    unregistered: tuple[tuple[str, Tensor], ...] = ()
    objective_nodes: frozenset[int] = frozenset()
    makers: tuple[frozenset[int], ...] = ()
    reshapes: tuple[Reshape, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    turned: tuple[Crossing, ...] = ()
    is_handwritten: bool = False
    has_dropout: bool = False


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What the first look has shown of all later ones: where to measure, and what runs.

    ``inside`` are the nodes on whose output a later layer depends;
    ``is_undropped``: calls have to be seen as their author wrote them, to leave dropout out.
    """

    anchors: Anchors
    nodes: tuple[Node, ...]
    inside: set[int]
    is_undropped: bool


class _Outset:
    """What the first look alone notes: of what its pass starts from, and what routers choose."""

    def __init__(self, program: Program, ledger: DeferredRead) -> None:
        self.routers = RouterRecorder(ledger)
        self._given = fingerprints(program.batch, program.model, ledger)
        self._rows = EffectiveSamples(tensors_of(program.batch), ledger)
        self._streams = stream_positions()
        self._is_drawn = False

    def end(self) -> None:
        """The pass is over: see whether it drew anything."""
        self._is_drawn = bool(self._streams) and stream_positions() != self._streams

    def added(self, snapshot: Snapshot) -> Snapshot:
        """The snapshot with what was noted, once the ledger has been read."""
        digests = {key: marks.digest() for key, marks in self._given.items()}
        if self._is_drawn:
            digests["streams"] = combined(map(str, self._streams))
        return replace(
            snapshot,
            digests=digests,
            effective_samples=self._rows.number(),
            choices=self.routers.choices(),
        )


class SnapshotTaker:
    """Takes looks at one model; the first look learns which parameters are worth following."""

    def __init__(self, program: Program, across: Across | None = None) -> None:
        self.program, self.across = program, across
        self.model = program.model
        self._plan = Plan()
        self._known: _Known | None = None
        self._followed: set[str] | None = None
        self._settled: Settled | None = None
        self.not_observed: tuple[str, ...] = ()
        # The copy of the batch that the last look ran on, as the program left it.
        self.seen: Any = None
        self._effective: float | None = None
        self._held: Tensor | None = None

    def take(self, step: int, *, full: bool = True, witness: Witness | None = None) -> Taken:
        """Evaluate, measure and leave the gradients in place for an optimiser.

        ``full`` adds what no check reads of the looks between the first and the last: histograms,
        the summaries of data, outputs and weights (but those that got no gradient), and what the
        first look has settled. A ``witness`` sees the pass of a first look, too.
        """
        if step and self._known is not None:
            return self._attached(self._known, step, full=full)
        ledger = DeferredRead(self.across)
        settled = None if full else self._settled
        recorder = SignalRecorder(ledger, full=full, settled=settled, is_first=step == 0)
        heads = HeadRecorder(self.model, self._samples(), ledger) if full else None
        anchors = Anchors(self.model) if step == 0 and self.across is None else None
        self._clear()
        outset = _Outset(self.program, ledger) if step == 0 else None
        observer = _told(recorder.observer(), heads, outset.routers if outset else None)
        tracer = Tracer(self.model, observer, self._plan, anchors, follows_axes=step == 0)
        recorder.tracer = tracer
        with torch.enable_grad(), CompositeCalls(tracer) as calls, tracer.prepared():
            result = self._forward(tracer, witness)
            if witness is not None:
                with recorder.closed(), torch._C.DisableTorchFunction():
                    witness.see(result)
            reached = frozenset[int]() if step else tracer.backward.reached(result.loss)
            self._backward(result)
        if outset is not None:
            outset.end()
        inside = inside_of(tracer.nodes)
        snapshot = self._seen(step, result, recorder, inside, heads, full=full)
        if outset is not None:
            snapshot = outset.added(snapshot)
            self._effective = snapshot.effective_samples
        snapshot = replace(snapshot, effective_samples=self._effective)
        self._learn(snapshot, tracer)
        if anchors is not None and anchors.is_whole:
            nodes = tuple(tracer.nodes)
            self._known = _Known(
                anchors=anchors, nodes=nodes, inside=inside, is_undropped=calls.is_needed
            )
        taken = self._taken(step, snapshot, result, tracer, reached)
        return replace(taken, has_dropout=calls.is_needed)

    def _learn(self, snapshot: Snapshot, tracer: Tracer) -> None:
        """From the first look: what later ones have to ask."""
        if self._followed is None:
            # Only rows that start alike can stay alike.
            self._followed = alike(snapshot)
            self._settled = settled_by(snapshot, tuple(tracer.order))

    def _taken(
        self,
        step: int,
        snapshot: Snapshot,
        result: Result,
        tracer: Tracer,
        reached: frozenset[int],
    ) -> Taken:
        ends, goals = tracer.makers(result.output), tracer.makers(result.loss)
        axes = tracer.reshapes
        return Taken(
            snapshot=snapshot,
            nodes=tuple(tracer.nodes),
            order=tuple(tracer.order),
            parameters={} if step else describe_parameter(self.model, tracer),
            result=_loss_alone(result) if step else result,
            output_nodes=ends,
            backward_nodes=reached,
            vanished=() if step else tracer.used_weights.vanished(),
            unregistered=tracer.unregistered,
            objective_nodes=goals if self.program.forward is not None else ends,
            makers=tuple(tracer.makers(tensor) for tensor in tensors_of(result.output)),
            reshapes=axes.found if axes else (),
            crossings=tuple(axes.crossings) if axes else (),
            turned=tuple(axes.turned) if axes else (),
            is_handwritten=tracer.backward.is_handwritten,
        )

    def _attached(self, known: _Known, step: int, *, full: bool) -> Taken:
        """A look at modules alone, after a first that has shown that these are all."""
        ledger = DeferredRead()
        settled = None if full else self._settled
        recorder = SignalRecorder(ledger, full=full, settled=settled)
        heads = HeadRecorder(self.model, self._samples(), ledger) if full else None
        recorder.tracer = attached = Attached(
            known.anchors, _told(recorder.observer(), heads, None)
        )
        self._clear()
        calls = CompositeCalls() if known.is_undropped else nullcontext()
        with torch.enable_grad(), calls, operator_by_operator():
            with attached.running():
                result = self.program.evaluate(self._keep)
            self._backward(result)
        snapshot = self._seen(step, result, recorder, known.inside, heads, full=full)
        snapshot = replace(snapshot, effective_samples=self._effective)
        return Taken(snapshot=snapshot, nodes=known.nodes, result=_loss_alone(result))

    def _clear(self) -> None:
        """Drop the gradients, and hold the one above which no memory is to be handed back."""
        parameters = list(self.model.parameters())
        self._held = highest([self._held, *(parameter.grad for parameter in parameters)])
        clear_gradients(parameters)

    def _keep(self, batch: Any) -> None:
        self.seen = batch

    def _seen(
        self,
        step: int,
        result: Result,
        recorder: SignalRecorder,
        inside: set[int],
        heads: HeadRecorder | None,
        *,
        full: bool,
    ) -> Snapshot:
        """What a pass has shown, with what it left in the parameters; one host read."""
        slots = {
            name: put_parameter(
                parameter,
                recorder.ledger,
                self._plan.axes.get(name),
                self._asked(name, full=full, is_first=step == 0),
            )
            for name, parameter, _ in at_hand(
                (name, p, p.grad) for name, p in self.model.named_parameters()
            )
        }
        snapshot = self._read(step, result, slots, recorder, inside, full=full)
        # It and its tracer refer to each other, and to all activations that were measured.
        recorder.close()
        return replace(snapshot, heads=heads.heads()) if heads else snapshot

    def _asked(self, name: str, *, full: bool, is_first: bool) -> Asked:
        return Asked(
            is_full=full,
            is_first=is_first,
            is_new=self._followed is None,
            is_followed=self._followed is None or name in self._followed,
            has_rows=self._settled is None or layer_of(name) not in self._settled.open_layers,
        )

    def _samples(self) -> int:
        return next((t.shape[0] for t in tensors_of(self.program.batch) if t.dim()), 0)

    def _forward(self, tracer: Tracer, witness: Witness | None) -> Result:
        is_rooted = self.program.forward is not None
        seen = [tracer.add_data, *([witness.add_data] if witness else [])]
        watching = witness.running() if witness else nullcontext()
        with tracer.running(is_rooted=is_rooted), watching:
            result = self.program.evaluate(lambda batch: self._see(batch, seen))
        self.not_observed = tuple(sorted({*self.not_observed, *tracer.foreign}))
        return result

    def _read(
        self,
        step: int,
        result: Result,
        slots: dict[str, ParameterSlots],
        recorder: SignalRecorder,
        inside: set[int],
        *,
        full: bool,
    ) -> Snapshot:
        """Everything that waits on the device, in one host read."""
        ledger = recorder.ledger
        loss = ledger.put(whole(result.loss), "loss")
        parts = {name: ledger.put(whole(part), "loss") for name, part in result.parts.items()}
        targets = self._side(result.targets, ledger, is_data=True) if full else None
        # The rows of an output share the weights, which may be what is chance in them.
        output = self._side(result.output, ledger) if full else None
        is_known = self._settled is not None and self._settled.is_output_varied
        differs = None if is_known else self._differs(result, ledger)
        ledger.read()
        received = recorder.inputs()
        return Snapshot(
            step=step,
            loss=float(ledger[loss][0]),
            loss_parts={name: float(ledger[slot][0]) for name, slot in parts.items()},
            parameters={name: slot.look(ledger) for name, slot in slots.items()},
            sites=recorder.sites(inside),
            outputs=recorder.outputs(),
            inputs=next(iter(received.values()), None),
            targets=targets.stats(ledger) if targets else None,
            result=output.stats(ledger) if output else None,
            layer_inputs=received,
            sums=recorder.sums(),
            variation=None if differs is None else float(ledger[differs][0]),
        )

    def _see(self, batch: Any, told: Sequence[Callable[[Any], None]]) -> None:
        self.seen = batch
        for tell in told:
            tell(batch)

    def _backward(self, result: Result) -> None:
        try:
            # Not the tensor's method, which would switch `Quiet` off for the code that
            # checkpoints run again.
            torch.autograd.backward(result.loss)
        except Exception as error:
            raise refused("the backward pass", error, for_backward(error)) from error
        if self.across is not None:
            self.across.share_gradients(self.model)

    def _differs(self, result: Result, ledger: DeferredRead) -> int | None:
        """Where the output has one row per sample: how much of it differs between them."""
        output = main_tensor(result.output) if result.output is not None else None
        samples = self._samples()
        if not isinstance(output, Tensor) or not output.is_floating_point() or output.is_sparse:
            return None
        if output.dim() == 0 or samples < 2 or output.shape[0] != samples:
            return None
        return put_variation(output.detach().reshape(samples, -1), ledger)

    def _side(self, value: Any, ledger: DeferredRead, *, is_data: bool = False) -> Summary | None:
        tensor = main_tensor(value) if value is not None else None
        if not isinstance(tensor, Tensor):
            return None
        return summarise(tensor, ledger, is_data=is_data, kind="summary")


def _told(
    observer: Observer, heads: HeadRecorder | None, routers: RouterRecorder | None
) -> Observer:
    """An observer that tells of softmaxes and choices, too."""
    if heads is not None:
        observer = replace(observer, on_softmax=heads.see)
    if routers is None:
        return observer

    def on_layer(node: Node, output: Tensor, received: Tensor | None) -> None:
        routers.note(node, received)
        observer.on_layer(node, output, received)

    return replace(observer, on_layer=on_layer, on_choice=routers.see)


def fingerprints(batch: Any, model: nn.Module, ledger: DeferredRead) -> dict[str, Fingerprints]:
    """What a look starts from beside the parameters."""
    groups = {"batch": tensors_of(batch), "buffers": list(model.buffers())}
    kinds: dict[str, Kind] = {"batch": "list", "buffers": "own"}
    return {key: Fingerprints(t, ledger, kinds[key]) for key, t in groups.items() if t}


def inside_of(nodes: Sequence[Node]) -> set[int]:
    """The nodes on whose output a later layer depends."""
    inside: set[int] = set()
    for node in reversed(nodes):
        if node.is_layer or node.index in inside:
            inside.update(node.inputs)
    return inside


def _loss_alone(result: Result) -> Result:
    """The loss without its graph, to which all that was measured of it would stay attached."""
    return Result(result.loss.detach())
