"""Follows a forward pass operator by operator: which layers ran, and every nonlinearity."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture.anchors import Anchors
from pytest_initcheck.capture.autograd_graph import AutogradGraph
from pytest_initcheck.capture.axis_mixing import Reshapes
from pytest_initcheck.capture.eager import operator_by_operator, unfused
from pytest_initcheck.capture.effective_weights import UsedWeights
from pytest_initcheck.capture.modes import Arguments, OperatorMode, Options
from pytest_initcheck.capture.module_hooks import Gathered, hooked
from pytest_initcheck.capture.nonlinearity import Nonlinearity, recognise
from pytest_initcheck.capture.observer import CHOOSING, Observer
from pytest_initcheck.capture.operation import Operation, Origin
from pytest_initcheck.capture.operators import (
    MIXING,
    UNIT_AXES,
    Storages,
    flat_tensors,
    is_selection,
    name_of,
    storage_key,
    tensors_among,
    unit_axis,
)
from pytest_initcheck.capture.program import tensors_of
from pytest_initcheck.capture.repeats import Reading, Repeats
from pytest_initcheck.capture.replay import Event, Plan, Step, claims_on, event_at, reads_of
from pytest_initcheck.capture.trace_nodes import node_of
from pytest_initcheck.capture.unregistered import Unregistered
from pytest_initcheck.evidence import Node
from pytest_initcheck.evidence.layer_names import layer_of
from pytest_initcheck.evidence.streams import adds
from pytest_initcheck.ranks.dtensors import CARRIERS


@dataclass
class _Frame:
    name: str
    flags: ExitStack = field(default_factory=ExitStack)


class Tracer(OperatorMode):
    """A dispatch mode that observes a model however its author wrote it.

    Below autograd every operator passes here: modules, functions, methods, in-place calls,
    scripted code and what composite functions such as attention are made of.
    """

    def __init__(
        self,
        model: nn.Module,
        observer: Observer,
        plan: Plan | None = None,
        anchors: Anchors | None = None,
        *,
        follows_axes: bool = False,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._plan = plan or Plan()
        self._plan.rewind()
        self._anchors, self._storages = anchors, Storages()
        self.reshapes = Reshapes(self._storages) if follows_axes else None
        self.axes = self._plan.axes
        self._claims: list[tuple[int, Origin]] = []
        self.nodes: list[Node] = []
        self.order: list[str] = []
        self.foreign: set[str] = set()
        self.backward = AutogradGraph()
        self._is_paused = self._is_rooted = self._is_guest = False
        self._observer = observer
        self._model = model
        self._modules = {id(m): name for name, m in reversed(list(model.named_modules()))}
        self._stack: list[_Frame] = []
        self._origins: dict[int, Origin] = {}
        self._repeats: Repeats | None = None
        if self.reshapes is not None:
            shared = self._storages, self.reshapes, self.backward, self._plan
            self._repeats = Repeats(self.nodes, self._origins, *shared)
        # Whether nobody was told of the call that was looked at last.
        self._is_untold = False
        self._pending: list[tuple[Tensor, Callable[[Tensor], None]]] = []
        self._unregistered = Unregistered(model)
        self.used_weights = UsedWeights(model)
        self._dims = {}
        for name, parameter in model.named_parameters():
            self._dims[name] = parameter.dim()
            self._claim(parameter, Origin(params=(name,), is_parameter=True))
        self._gathered = Gathered(model)

    @property
    def unregistered(self) -> tuple[tuple[str, Tensor], ...]:
        """Weights that got a gradient and that the model does not hold, and where they lie."""
        return self._unregistered.found

    def made(self, node: Node, inputs: list[Tensor], results: list[Tensor]) -> None:
        """Called for each node with the tensors that it received and made."""

    def here(self) -> str | None:
        """The module that runs, None outside of the model."""
        return self._stack[-1].name if self._stack else None

    def add_data(self, batch: Any) -> None:
        """Mark the tensors of a batch as the data that flows through the model."""
        for tensor in tensors_of(batch):
            self._claim(tensor, Origin(is_data=True))
        if self.reshapes is not None:
            self.reshapes.add_data(batch)

    def hook_gradient(self, tensor: Tensor, hook: Callable[[Tensor], None]) -> None:
        """Call ``hook`` with the gradient of a tensor that an operator has just made."""
        # Autograd adopts the tensor only after the operator returns: wait for the next one.
        self._pending.append((tensor, hook))

    def makers(self, output: Any) -> frozenset[int]:
        """The nodes that made the tensors of an output."""
        origins = (self._origin(tensor) for tensor in tensors_of(output))
        return frozenset(origin.node for origin in origins if origin)

    def see_composite(self, found: Nonlinearity, data: Tensor, out: Tensor) -> None:
        """Name what was just seen as arithmetic: the nonlinearity that made ``out``."""
        origin = self._origin(out)
        if origin is None or origin.node < 0 or not data.is_floating_point():
            return
        if self._anchors is not None:
            self._anchors.refuse()
        node = replace(self.nodes[origin.node], nonlinearity=found.name)
        self.nodes[origin.node] = node
        self._is_paused = True
        with torch.no_grad():
            self._observer.on_nonlinearity(node, found, found.slope(data.detach(), (), {}), out)
        self._is_paused = False

    def flush(self) -> None:
        """Attach the hooks that wait, and note what autograd made of the latest operations."""
        self.backward.settle()
        for tensor, hook in self._pending:
            if tensor.requires_grad:
                tensor.register_hook(functools.partial(self._on_gradient, hook))
        self._pending = []

    def _on_gradient(self, hook: Callable[[Tensor], None], gradient: Tensor | None) -> None:
        # An autograd function of the author's may return none for an input that asks for one;
        # where the forward pass takes gradients itself, what is measured of them is no part of it.
        if gradient is None:
            return
        was_paused, self._is_paused = self._is_paused, True
        try:
            # The mode that watches calls stays on for what a checkpoint runs again, not for this.
            with torch._C.DisableTorchFunction():
                hook(gradient)
        finally:
            self._is_paused = was_paused

    @contextmanager
    def running(self, *, is_rooted: bool = False) -> Iterator[None]:
        """Observe everything inside; also keeps track of which module is running.

        With ``is_rooted`` what runs outside of the model's modules is traced, too, as a caller's
        ``forward`` does between them; nonlinearities, and weights that no module registered, are
        looked for in modules alone.
        """
        self._is_rooted = is_rooted
        if is_rooted:
            self._stack.append(_Frame(""))
        with self:
            yield
            self.flush()
        self._stack = []

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """What runs inside runs operator by operator, the backward pass too."""
        with operator_by_operator(), self._hooked():
            yield

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Observe a pass that its caller has begun: inside, the model's own forward runs.

        Every kernel is the one that runs without a tracer, so that the pass gives the same bits.
        """
        self._is_guest = True
        with self._hooked():
            self._enter_module(self._model, None)
            with self:
                yield
                self.flush()
        self._stack = []

    @contextmanager
    def _hooked(self) -> Iterator[None]:
        calls = self._enter_module, self._leave_module, self._pause
        with hooked(self._model, *calls), ExitStack() as stack:
            stack.callback(self._unregistered.release)
            yield

    def _enter_module(self, module: nn.Module, received: Any) -> None:
        if self._anchors is not None:
            self._anchors.enter(module, received)
        frame = _Frame(self._modules.get(id(module), self.here() or ""))
        if isinstance(module, nn.RNNBase) and not self._is_guest:
            frame.flags.enter_context(unfused())
        self._is_paused = False
        for name, parameter in self._gathered.of(module):
            self._claim(parameter, Origin(params=(name,), is_parameter=True))
            self._unregistered.know(parameter)
            self.used_weights.know(parameter)
        self._stack.append(frame)

    def _pause(self, *_: Any) -> None:
        self._is_paused = True

    def _leave_module(self, module: nn.Module, _: Any, output: Any = None) -> None:
        if self._anchors is not None:
            self._anchors.leave(output)
        self._is_paused = False
        if self._stack:
            self._stack.pop().flags.close()

    def called(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        if self.reshapes is None:
            return self._traced(func, args, kwargs)
        reading, repeats = self._reading(func, args, kwargs), self._repeats
        if reading is not None and repeats is not None and repeats.is_known(reading):
            self.flush()
            return repeats.follow(reading, func, args, kwargs)
        given, layout = self.reshapes.received(args, kwargs), None
        self._is_untold = False
        out = self._traced(func, args, kwargs)
        if given is not None:
            layout = self.reshapes.note(func, args, given, out, self.here())
        is_all = self._is_untold and (given is None or layout is not None)
        if reading is not None and repeats is not None and is_all:
            repeats.learn(reading, func, out, layout)
        return out

    def _reading(self, func: Any, args: Arguments, kwargs: Options) -> Reading | None:
        """What a call reads, where one like it may have been looked at."""
        is_seen = self._stack and not self._is_paused and self._plan.is_recording
        if self._repeats is None or not is_seen or func.namespace != "aten":
            return None
        is_outside = self._is_rooted and len(self._stack) == 1
        state = self._stack[-1].name, is_outside, torch.is_grad_enabled()
        return self._repeats.reading(func, state, args, kwargs)

    def _traced(self, func: Any, args: Arguments, kwargs: Options) -> Any:
        if self._pending or self.backward.is_waiting:
            self.flush()
        if not self._stack or self._is_paused:
            return func(*args, **kwargs)
        owner = self._stack[-1].name
        step = self._plan.following(func, owner)
        if step is not None and step.event is None:
            return self._follow(step, func(*args, **kwargs))
        if step is not None and step.event is not None:
            tensors = tensors_among(args, kwargs)
            if reads_of([self._origin(tensor) for tensor in tensors]) == step.event.reads:
                return self._measure(step, step.event, tensors, args, kwargs)
            self._plan.leave()
        return self._look_at(func, owner, args, kwargs)

    def _follow(self, step: Step, out: Any) -> Any:
        self.nodes.extend(step.nodes)
        if step.claims:
            results = [out] if isinstance(out, Tensor) else flat_tensors(out)
            for place, origin in step.claims:
                self._claim(results[place], origin)
        return out

    def _measure(
        self, step: Step, event: Event, tensors: list[Tensor], args: Arguments, kwargs: Options
    ) -> Any:
        found, node = event.nonlinearity, step.nodes[0]
        if found and self._observer.is_told(node):
            return self._follow(step, step.func(*args, **kwargs))
        slope = found.slope(args[0], args, kwargs) if found else None
        out = self._follow(step, step.func(*args, **kwargs))
        if found and slope is not None:
            self._observer.tell_nonlinearity(node, found, slope, out, args[0])
        else:
            received = None if event.received is None else tensors[event.received]
            self._observer.tell_layer(node, out, received, is_raw=event.is_raw)
        return out

    def _look_at(self, func: Any, owner: str, args: Arguments, kwargs: Options) -> Any:
        if func.namespace in CARRIERS:
            return self._carry(func, owner, args, kwargs)
        if func.namespace not in ("aten", "prim", "prims"):
            # What an operator of another library does inside is not known.
            self.foreign.add(f"{owner or 'model'}: {func}")
        self._claims, first = [], len(self.nodes)
        call = Operation(func, name_of(func, args), args, kwargs, self._origins.get)
        found = slope = None
        is_special = False
        if not (self._is_rooted and len(self._stack) == 1):
            is_special = self._unregistered.note(call.others, owner)
            found = recognise(call.operator, args, kwargs) if call.tensors else None
        if found and isinstance(args[0], Tensor) and args[0].is_floating_point():
            slope = found.slope(args[0], args, kwargs)
        received, is_raw = call.received()
        on_sum = self._observer.on_sum(call) if len(call.data) > 1 and adds(call.operator) else None
        out = func(*args, **kwargs)
        node = self._add_node(call, out, found if slope is not None else None)
        if node is not None:
            self._is_paused = True
            self.made(node, call.tensors, flat_tensors(out))
            self._is_paused = False
            if found and slope is not None:
                self._observer.tell_nonlinearity(node, found, slope, out, args[0])
            elif node.is_layer:
                self._observer.tell_layer(node, out, received, is_raw=is_raw)
            if on_sum is not None:
                on_sum(node, flat_tensors(out)[0])
            if call.operator in CHOOSING:
                self._observer.on_choice(node, call, out)
        if self._plan.is_recording:
            event = event_at(call, node, found if slope is not None else None) if node else None
            made = self.nodes[first:], claims_on(flat_tensors(out), self._claims)
            self._plan.record(func, owner, *made, event, is_special=is_special)
            if self._anchors is not None and event is not None and node is not None:
                self._anchors.note(event, node, call, out)
            if self._anchors is not None and is_special:
                self._anchors.refuse()
        self._is_untold = on_sum is None and call.operator not in CHOOSING
        return out

    def _carry(self, func: Any, owner: str, args: Arguments, kwargs: Options) -> Any:
        """What other ranks add to a tensor leaves it what it is."""
        self._claims, out = [], func(*args, **kwargs)
        for origin in filter(None, map(self._origin, tensors_among(args, kwargs)[:1])):
            self._claim_all(flat_tensors(out), origin)
        if self._plan.is_recording:
            claims = claims_on(flat_tensors(out), self._claims)
            self._plan.record(func, owner, (), claims, None, is_special=False)
        return out

    def _add_node(self, call: Operation, out: Any, found: Nonlinearity | None) -> Node | None:
        results, weights = flat_tensors(out), call.weights
        if call.is_view(results):
            return None
        is_derived = call.is_of_parameters
        is_layer = call.operator in MIXING and bool(weights)
        is_layer = is_layer and (not is_derived or self._owns(weights))
        if is_derived and not is_layer:
            self._claim_all(results, Origin(params=call.params, is_parameter=True))
            return None
        order, layer = call.latest
        if is_layer:
            order, layer = len(self.nodes), layer_of(weights[-1][1].params[0])
            self._note_layer(layer, call)
        node = node_of(
            call,
            results,
            index=len(self.nodes),
            owner=self._stack[-1].name,
            layer=layer,
            is_layer=is_layer,
            nonlinearity=found.name if found else "",
        )
        self.nodes.append(node)
        is_data = is_layer or any(origin.is_data for origin in call.data)
        made = Origin(node=node.index, layer=layer, order=order, is_data=is_data)
        self._claim_results(node, results, call.tensors, made)
        return node

    def _note_layer(self, layer: str, call: Operation) -> None:
        # A transposed convolution lists its inputs first; one in groups has no such axis.
        is_transposed = call.operator == "convolution" and call.args[6] and call.args[8] == 1
        self._note_axes(call, 1 if is_transposed else None)
        self.used_weights.note(layer, [tensor for tensor, _ in call.weights])
        if layer not in self.order:
            self.order.append(layer)

    def _claim_results(
        self, node: Node, results: list[Tensor], tensors: list[Tensor], made: Origin
    ) -> None:
        """What a node made is its own; indices and masks among it come from a node beside it."""
        self._claim_all(results, made)
        if self._plan.is_recording:
            self.backward.note(node.index, results)
        chosen = [result for result in results if is_selection(result)]
        if chosen and not all(map(is_selection, tensors)):
            selection = replace(node, index=len(self.nodes), nonlinearity="", selects=True)
            self.nodes.append(selection)
            self._claim_all(chosen, replace(made, node=selection.index))

    def _note_axes(self, call: Operation, known: int | None) -> None:
        weights = call.weights if call.operator in UNIT_AXES else []
        # Where a parameter is what a weight reads, such as learnt queries, it has no units.
        for tensor, origin in weights[-1:] if len(weights) == len(call.tensors) else weights:
            axis = unit_axis(call.operator, tensor) if known is None else known
            for name in origin.params:
                # A vector may be reshaped into the kernel of a convolution.
                if self._dims[name] > 1:
                    self.axes.setdefault(name, axis)

    def _owns(self, weights: list[tuple[Tensor, Origin]]) -> bool:
        owner = self._stack[-1].name
        return any(p.rpartition(".")[0] == owner for _, origin in weights for p in origin.params)

    def _origin(self, tensor: Tensor) -> Origin | None:
        return self._origins.get(storage_key(tensor))

    def _claim_all(self, tensors: list[Tensor], origin: Origin) -> None:
        for tensor in tensors:
            self._claim(tensor, origin)

    def _claim(self, tensor: Tensor, origin: Origin) -> None:
        key = self._storages.held(tensor)
        if key:
            self._origins[key] = origin
            if self._plan.is_recording:
                self._claims.append((id(tensor), origin))
