"""What one forward and backward pass showed of every parameter, layer and nonlinearity."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pytest_initcheck.records import TensorStats

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter as it stands before the first step.

    ``axis`` is the axis of its output units, None where it has none (vectors, tables); it counts
    from the end, below zero, in a stack of the weights of several layers along the first axis.
    """

    name: str
    layer: str
    kind: str
    shape: tuple[int, ...]
    trainable: bool
    axis: int | None
    fan_in: int
    groups: int = 1


@dataclass(frozen=True, kw_only=True)
class ParameterSnapshot:
    """A parameter at one look: ``row_gradient`` is the gradient's norm per unit.

    ``projections`` (units, 5) identify rows, ``gradient_projections`` those of the gradient; None
    where no two rows could be alike. ``least`` and ``median`` are of the |values| above zero, at
    the start.
    """

    stats: TensorStats | None
    gradient: TensorStats | None = None
    row_gradient: Array | None = None
    projections: Array | None = None
    gradient_projections: Array | None = None
    least: float | None = None
    median: float | None = None


@dataclass(frozen=True)
class NonlinearityKey:
    """Where a nonlinearity stands: calls with an equal key are pooled."""

    owner: str
    nonlinearity: str
    layer: str
    units: int


@dataclass(frozen=True, kw_only=True)
class NonlinearitySnapshot:
    """A nonlinearity at one look; arrays hold one value per unit.

    ``samples`` values were seen, ``flat`` of them passed no gradient, ``saturated`` of them had a
    slope below a twentieth of the steepest, and ``slope`` is the mean relative slope.
    """

    family: str
    calls: int
    samples: Array
    flat: Array
    saturated: Array
    slope: Array
    width: int
    output: TensorStats | None = None
    gradient: TensorStats | None = None
    is_inside: bool = True


@dataclass(frozen=True, kw_only=True)
class OutputSnapshot:
    """The output of a layer before any nonlinearity, at one look.

    ``variation`` is the share of the mean square of the layer's *input* that differs between
    samples (0 when all samples look the same to the layer, about 1 when they are unrelated).
    ``has_rows``: at the start, it holds several rows of a table.
    """

    stats: TensorStats | None
    variation: float | None
    gradient: TensorStats | None = None
    has_rows: bool = False


@dataclass(frozen=True, kw_only=True)
class SumSnapshot:
    """Data that were added to data: each operand by the node that made it, and the total."""

    operands: dict[int, TensorStats]
    total: TensorStats


@dataclass(frozen=True, kw_only=True)
class HeadsSnapshot:
    """Attention at one look, one value per head: 1 − Σp² relative to that of equal shares, the
    entropy relative to theirs, and the largest score, with its sign: what sets the shares is how
    the scores differ, not where they lie."""

    passed: Array
    entropy: Array
    largest: Array


@dataclass(frozen=True, kw_only=True)
class ChoiceSnapshot:
    """How a router sends tokens to experts: ``counts`` of tokens, of ``picked`` experts for each.

    ``distinct`` tokens differ; of routers drawn at random for the same tokens, ``busiest`` is the
    share that one expert gets at most, and ``idle`` the share of experts that get none.
    """

    node: int
    layer: str
    counts: tuple[int, ...]
    picked: int
    distinct: int
    busiest: tuple[float, ...] = ()
    idle: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything measured in one forward and backward pass.

    Between the first look and the last, statistics of data, outputs and weights are None, those of
    gradients moments alone, and the range alone for parameters; what the first look settles (that
    a unit is not dead, that samples differ in the last layer) is left out. No check reads it.

    ``loss_parts`` are the losses that the loss is the sum of, where a model returns several.
    ``inputs`` are the data that the first layer receives, ``layer_inputs`` those of every layer
    that receives data on which no layer has worked; ``variation`` is the share of the mean square
    of the model's output that differs between samples; ``sums`` are, by node and at the start
    alone, data that were added to data, ``choices`` those of routers; ``heads`` are softmaxes by
    owner and layer, in the first look and the last; ``digests`` and
    ``effective_samples`` are those of a `pytest_initcheck.records.ModelRecord`, at the start.
    """

    step: int
    loss: float
    loss_parts: dict[str, float] = field(default_factory=dict)
    parameters: dict[str, ParameterSnapshot] = field(default_factory=dict)
    sites: dict[NonlinearityKey, NonlinearitySnapshot] = field(default_factory=dict)
    outputs: dict[str, OutputSnapshot] = field(default_factory=dict)
    inputs: TensorStats | None = None
    targets: TensorStats | None = None
    result: TensorStats | None = None
    layer_inputs: dict[str, TensorStats] = field(default_factory=dict)
    variation: float | None = None
    sums: dict[int, SumSnapshot] = field(default_factory=dict)
    heads: dict[tuple[str, str], HeadsSnapshot] = field(default_factory=dict)
    choices: tuple[ChoiceSnapshot, ...] = ()
    digests: dict[str, str] = field(default_factory=dict)
    effective_samples: float | None = None

    @property
    def output_stats(self) -> dict[str, TensorStats]:
        """The summaries of the layers' outputs, in the order in which the layers ran."""
        return {layer: seen.stats for layer, seen in self.outputs.items() if seen.stats}
