"""Measures layers and nonlinearities while a tracer follows the forward pass."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from pytest_initcheck.capture.across import Kind
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.nonlinearity import Nonlinearity
from pytest_initcheck.capture.observer import GradientHooks, Observer
from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.settled import Settled
from pytest_initcheck.capture.tensor_stats import (
    SAMPLE,
    Part,
    Summary,
    plain,
    stride_of,
    summarise,
)
from pytest_initcheck.evidence import (
    Node,
    NonlinearityKey,
    NonlinearitySnapshot,
    OutputSnapshot,
    SumSnapshot,
)
from pytest_initcheck.ranks.dtensors import is_sharded, whole
from pytest_initcheck.records import TensorStats

# A relative slope of a twentieth: the unit passes on 5 % of the gradient that it could.
SATURATED = 0.05
# A recurrent loop calls one layer hundreds of times; more calls add cost, not knowledge.
_CALLS = 16
# A share from which on the difference of two sums of squares keeps five digits.
_PLAIN = 0.05
# A share of the mean square over so many places is known to √(2/n), one percent.
_PLACES = 1 << 14


@dataclass(kw_only=True)
class _Calls:
    """The calls of one layer or nonlinearity, still on the device."""

    count: int = 0
    outputs: list[Summary] = field(default_factory=list)
    gradients: list[Summary] = field(default_factory=list)
    slots: list[int] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    family: str = ""
    width: int = 0


class SignalRecorder:
    """The observer of one look; a look that is not ``full`` leaves out what only records keep.

    Histograms count about ``sampled`` values at most. With ``known``, layers of an earlier look,
    it is for records alone: of the output of these layers, which a nonlinearity stands for, and of
    what differs between samples nothing is measured. What is ``settled`` is left out. Gradients
    come ``scale`` times too large. A look that ``is_first`` measures sums of data, too.
    """

    def __init__(
        self,
        ledger: DeferredRead,
        *,
        full: bool = True,
        sampled: int = SAMPLE,
        known: Collection[str] | None = None,
        settled: Settled | None = None,
        scale: Tensor | None = None,
        is_first: bool = False,
    ) -> None:
        self.ledger = ledger
        self._full, self._sampled, self._known = full, sampled, known
        self._scale, self._settled = scale, settled
        self._sites: dict[NonlinearityKey, _Calls] = {}
        self._layers: dict[str, _Calls] = {}
        self._units: dict[str, tuple[int, bool]] = {}
        self._inputs: dict[str, Summary] = {}
        self._sums: dict[int, tuple[dict[int, Summary], Summary]] | None = {} if is_first else None
        self.tracer: GradientHooks | None = None

    def observer(self) -> Observer:
        """The callbacks for a tracer."""
        is_told = self._settled.holds if self._settled else _never
        on_sum = self._see_sum if self._sums is not None else _not_told
        return Observer(self._see_layer, self._see_nonlinearity, self._see_input, is_told, on_sum)

    def _see_input(self, node: Node, tensor: Tensor) -> None:
        if self._full and node.layer not in self._inputs and len(self._inputs) < _CALLS:
            self._inputs[node.layer] = summarise(
                tensor,
                self.ledger,
                is_data=self._known is None,
                sampled=self._sampled,
                kind="summary",
            )

    def _see_layer(self, node: Node, output: Tensor, seen: Tensor | None) -> None:
        is_spatial = "convolution" in node.operator and output.dim() > 2
        self._units[node.layer] = (
            output.shape[1 if is_spatial else -1] if output.dim() else 1,
            is_spatial,
        )
        if self._known is not None and node.layer in self._known:
            return
        calls = self._layers.setdefault(node.layer, _Calls())
        if calls.count < _CALLS and output.is_floating_point():
            calls.count += 1
            if self._full:
                calls.outputs.append(self._summary(output))
            if seen is not None and self._asks_variation:
                calls.slots.append(put_variation(seen, self.ledger))
            is_table = "embedding" in node.operator and output.dim() > 1
            # What ranks have still to sum up can be read once.
            if self._sums is not None and is_table and not is_sharded(output):
                rows = output.detach().reshape(-1, output.shape[-1])
                calls.rows.append(put_variation(rows, self.ledger))
            self._watch(calls, output)

    @property
    def _asks_variation(self) -> bool:
        return self._known is None and not (self._settled and self._settled.is_varied)

    def _see_nonlinearity(
        self, node: Node, found: Nonlinearity, slope: Tensor, output: Tensor
    ) -> None:
        if not slope.numel():
            return
        slope = whole(slope)
        axis = None if found.family == "softmax" else self._axis(node, slope)
        units = 1 if axis is None else slope.shape[axis]
        key = NonlinearityKey(node.owner, found.name, node.layer, units)
        calls = self._sites.setdefault(key, _Calls(family=found.family))
        calls.nodes.append(node.index)
        calls.width = node.width or (output.shape[-1] if output.dim() else 1)
        is_shared = self._is_shared(node, units)
        kind: Kind = "shared units" if is_shared else "units"
        calls.slots.append(self.ledger.put(_slopes(slope, axis, found), kind))
        if self._full and len(calls.outputs) < _CALLS:
            summary: Kind = "shared summary" if is_shared else "summary"
            calls.outputs.append(self._summary(output, summary))
            self._watch(calls, output, "shared slopes" if is_shared else "slopes")

    def _is_shared(self, node: Node, units: int) -> bool:
        """Whether this rank has a share of the units of a layer, as ranks hold it together."""
        known, _ = self._units.get(node.layer, (units, False))
        return self.ledger.across is not None and known > units and known % units == 0

    def _watch(self, calls: _Calls, output: Tensor, kind: Kind = "slopes") -> None:
        assert self.tracer is not None
        self.tracer.hook_gradient(output, functools.partial(self._see_gradient, calls, kind))

    def _see_gradient(self, calls: _Calls, kind: Kind, gradient: Tensor) -> None:
        if self.tracer is not None:
            calls.gradients.append(self._summary(unscaled(gradient, self._scale), kind))

    def _see_sum(self, call: Operation) -> Callable[[Node, Tensor], None]:
        # Before it runs: what adds in place leaves nothing of its first operand.
        pairs = zip(call.tensors, call.origins, strict=True)
        operands = {
            origin.node: summarise(tensor, self.ledger, of="moments", kind="summary")
            for tensor, origin in pairs
            if origin is not None and not origin.is_parameter and _is_plain(tensor)
        }
        return functools.partial(self._see_total, operands)

    def _see_total(self, operands: dict[int, Summary], node: Node, total: Tensor) -> None:
        if self._sums is not None and _is_plain(total):
            self._sums[node.index] = (
                operands,
                summarise(total, self.ledger, of="moments", kind="summary"),
            )

    def sums(self) -> dict[int, SumSnapshot]:
        """What was added to what, by node, once the ledger has been read."""
        return {
            node: SumSnapshot(
                operands={index: one.stats(self.ledger) for index, one in operands.items()},
                total=total.stats(self.ledger),
            )
            for node, (operands, total) in (self._sums or {}).items()
        }

    def close(self) -> None:
        """What comes from now on, from a graph that is gone through again, is no part of it."""
        self.tracer = None

    @contextmanager
    def closed(self) -> Iterator[None]:
        """The same for what comes inside."""
        kept, self.tracer = self.tracer, None
        try:
            yield
        finally:
            self.tracer = kept

    def _summary(self, tensor: Tensor, kind: Kind = "summary") -> Summary:
        part: Part = "all" if self._full else "moments"
        return summarise(tensor, self.ledger, of=part, sampled=self._sampled, kind=kind)

    def _axis(self, node: Node, slope: Tensor) -> int | None:
        """The axis of the units; None for a single value."""
        if slope.dim() < 2:
            return slope.dim() - 1 if slope.dim() else None
        units, is_spatial = self._units.get(node.layer, (slope.shape[-1], False))
        return unit_axis(tuple(slope.shape), units, is_spatial)

    def sites(self, inside: set[int]) -> dict[NonlinearityKey, NonlinearitySnapshot]:
        """The nonlinearities, once the ledger has been read."""
        found = ((key, self._site(calls, inside)) for key, calls in self._sites.items())
        # Of the units of a layer that ranks share among them each has seen its own.
        return {replace(key, units=len(site.samples)): site for key, site in found}

    def _site(self, calls: _Calls, inside: set[int]) -> NonlinearitySnapshot:
        total = np.sum([self.ledger[slot].reshape(4, -1) for slot in calls.slots], axis=0)
        samples = total[0]
        return NonlinearitySnapshot(
            family=calls.family,
            calls=len(calls.slots),
            samples=samples,
            flat=total[1],
            saturated=total[2],
            slope=total[3] / samples,
            width=calls.width,
            output=self._pooled(calls.outputs),
            gradient=self._pooled(calls.gradients),
            is_inside=any(node in inside for node in calls.nodes),
        )

    def outputs(self) -> dict[str, OutputSnapshot]:
        """The layers' outputs, once the ledger has been read."""
        return {
            layer: OutputSnapshot(
                stats=self._pooled(calls.outputs),
                variation=self._mean(calls.slots),
                gradient=self._pooled(calls.gradients),
                has_rows=any(float(self.ledger[slot][0]) > 0 for slot in calls.rows),
            )
            for layer, calls in self._layers.items()
            if calls.count
        }

    @property
    def has_gradients(self) -> bool:
        """Whether a backward pass has come through what was measured."""
        calls = (*self._layers.values(), *self._sites.values())
        return any(one.gradients for one in calls)

    def layers_before_nonlinearities(self) -> frozenset[str]:
        """The layers whose activation, in a record, is that of a nonlinearity."""
        return frozenset(
            key.layer for key, calls in self._sites.items() if calls.family != "softmax"
        )

    def inputs(self) -> dict[str, TensorStats]:
        """The data that layers received, by layer in order, once the ledger has been read."""
        return {layer: summary.stats(self.ledger) for layer, summary in self._inputs.items()}

    def _mean(self, slots: list[int]) -> float | None:
        """The mean over the calls of what is one number for each; NaN is no number."""
        numbers = [float(self.ledger[slot][0]) for slot in slots]
        known = [number for number in numbers if number == number]
        return sum(known) / len(known) if known else None

    def _pooled(self, summaries: list[Summary]) -> TensorStats | None:
        stats = [summary.stats(self.ledger) for summary in summaries]
        if not stats:
            return None
        pooled = stats[0]
        for other in stats[1:]:
            pooled = pooled.merged(other)
        return pooled


def _never(_: Node) -> bool:
    return False


def _is_plain(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.layout == torch.strided and not tensor.is_nested


def _not_told(_: Operation) -> None:
    return None


def unscaled(gradient: Tensor, scale: Tensor | None) -> Tensor:
    """A gradient that a scaler has made ``scale`` times too large, as it would be without."""
    # Half precision, for which there are scalers, holds it only when scaled.
    return gradient if scale is None else gradient.float() / scale


def unit_axis(shape: tuple[int, ...], units: int, is_spatial: bool) -> int:
    """The axis that counts units in an activation that follows a layer with ``units`` outputs."""
    if is_spatial and len(shape) > 2 and shape[1] == units:
        return 1
    if shape[-1] == units:
        return len(shape) - 1
    if units in shape[1:]:
        return shape.index(units, 1)
    return 1 if len(shape) > 3 else len(shape) - 1


def _slopes(slope: Tensor, axis: int | None, found: Nonlinearity) -> Tensor:
    """Per unit how many samples there are, how many are flat and saturated, and their slopes' sum.

    A NaN is no flat sample: it is counted as non-finite, not as dead.
    """
    others = [place for place in range(slope.dim()) if place != axis]
    slope = slope if slope.dtype in (torch.float32, torch.float64) else slope.float()
    wide = torch.float32 if slope.device.type == "mps" else torch.float64

    def summed(values: Tensor) -> Tensor:
        # An empty list of axes would mean all of them; sums of ones are exact up to 1 / eps.
        exact = values.dtype if values.numel() * torch.finfo(values.dtype).eps < 1 else wide
        total = values.nansum(others, dtype=exact) if others else values.nan_to_num(0.0)
        return total.reshape(-1).to(wide)

    total = summed(slope)
    samples = torch.full_like(total, slope.numel() // total.numel())
    if found.is_binary:
        return torch.stack([samples, samples - total, samples - total, total])
    # The sign of a difference takes a fraction of what a comparison does.
    low = [max(limit, torch.finfo(slope.dtype).tiny) for limit in (found.flat, SATURATED)]
    flat, saturated = (summed((limit - slope).sign_().clamp_(min=0)) for limit in low)
    return torch.stack([samples, flat, saturated, total])


def put_variation(output: Tensor, ledger: DeferredRead) -> int:
    """Put the `variation` of an output on the ledger, in a form that ranks can merge."""
    if ledger.across is None:
        return ledger.put(variation(output))
    rows = plain(output).reshape(max(output.shape[0], 1) if output.dim() else 1, -1)
    rows = rows[:, :: stride_of(rows.shape[1], _PLACES)].double()
    numbers = torch.cat([rows.square().mean().reshape(1), rows.mean(0)])
    return ledger.put(numbers, "variation", rows.shape[1])


def variation(output: Tensor) -> Tensor:
    """Share of the mean square that differs between samples, NaN for a single sample."""
    if output.dim() < 2 or output.shape[0] < 2:
        return torch.full((1,), float("nan"), device=output.device)
    rows = output.float() if output.dtype not in (torch.float32, torch.float64) else output
    rows = rows.reshape(rows.shape[0], -1)
    size = _mean_square(rows)
    if rows.device.type == "cpu":
        # Reading a number costs nothing here, and a copy of the rows costs most.
        share = 1 - _mean_square(rows.mean(0)) / size
        if float(share) > _PLAIN:
            return share
    # Comparing with the first sample instead of the mean keeps equal samples at exactly zero.
    shifted = rows - rows[:1]
    variance = (_mean_square(shifted) - _mean_square(shifted.mean(0))).clamp(min=0.0)
    return variance / size.clamp(min=torch.finfo(rows.dtype).tiny)


def _mean_square(values: Tensor) -> Tensor:
    # The norm passes once over the values and keeps no copy of them.
    square: Tensor = torch.linalg.vector_norm(values).square() / values.numel()
    return square
