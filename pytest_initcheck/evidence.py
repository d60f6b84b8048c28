"""What the checks read: the trace of a model and the numbers of every look, on the host."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pytest_initcheck.dependencies import Dependencies
from pytest_initcheck.objective.record import ObjectiveFacts
from pytest_initcheck.objective.trajectory import LossTrajectory
from pytest_initcheck.records import ModelRecord, TensorStats

if TYPE_CHECKING:
    from pytest_initcheck.learning.result import Learning

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Node:
    """One traced operation. ``inputs`` are indices of earlier nodes; -1 stands for the batch.

    ``width`` is over how many values a softmax or a normalisation runs, 0 elsewhere;
    ``shut_off`` marks what ran under ``torch.no_grad``, and
    ``selects`` marks indices and masks, through which no gradient can pass; ``axis`` is the one
    along which a softmax runs, counted from the end; ``reads`` tells the parts of earlier nodes
    that it reads, by the node and by what identifies a view of it.
    """

    index: int
    operator: str
    owner: str
    inputs: tuple[int, ...]
    params: tuple[str, ...] = ()
    layer: str = ""
    is_layer: bool = False
    nonlinearity: str = ""
    shape: tuple[int, ...] = ()
    width: int = 0
    selects: bool = False
    shut_off: bool = False
    axis: int = -1
    reads: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
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
    aliases: tuple[str, ...] = ()
    groups: int = 1


@dataclass(frozen=True)
class ParameterLook:
    """A parameter at one look: ``row_gradient`` is the gradient's norm per unit.

    ``projections`` (units, 5) identify rows, ``pulls`` those of the gradient; None where no two
    rows could be alike. ``least`` and ``median`` are of the |values| above zero, at the start.
    """

    stats: TensorStats | None
    gradient: TensorStats | None = None
    row_gradient: Array | None = None
    projections: Array | None = None
    pulls: Array | None = None
    least: float | None = None
    median: float | None = None


@dataclass(frozen=True)
class SiteKey:
    """Where a nonlinearity stands: calls with an equal key are pooled."""

    owner: str
    nonlinearity: str
    layer: str
    units: int


@dataclass(frozen=True)
class SiteLook:
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


@dataclass(frozen=True)
class OutputLook:
    """The output of a layer before any nonlinearity, at one look.

    ``variation`` is the share of the mean square of the layer's *input* that differs between
    samples (0 when all samples look the same to the layer, about 1 when they are unrelated).
    """

    stats: TensorStats
    variation: float | None
    gradient: TensorStats | None = None


@dataclass(frozen=True)
class Look:
    """Everything measured in one forward and backward pass.

    ``inputs`` are the data that the first layer receives, ``fed`` those of every layer that
    receives data on which no layer has worked; ``variation`` is the share of the mean square of
    the model's output that differs between samples.
    """

    step: int
    loss: float
    parameters: dict[str, ParameterLook] = field(default_factory=dict)
    sites: dict[SiteKey, SiteLook] = field(default_factory=dict)
    outputs: dict[str, OutputLook] = field(default_factory=dict)
    inputs: TensorStats | None = None
    targets: TensorStats | None = None
    result: TensorStats | None = None
    fed: dict[str, TensorStats] = field(default_factory=dict)
    variation: float | None = None


@dataclass(frozen=True)
class LossFacts:
    """The loss at the start beside what an uninformed prediction costs.

    ``chance`` is the loss of a constant prediction (equal probabilities, or zero); ``spread`` its
    standard error over the samples of the batch; ``growth`` the factor by which the loss of that
    prediction grows when the batch is doubled (1 for a mean, 2 for a sum). ``is_forward`` says that
    the caller passed ``forward``, which may train one network of several.
    """

    name: str
    initial: float
    chance: float | None = None
    growth: float | None = None
    classes: int | None = None
    is_forward: bool = False


@dataclass(frozen=True, kw_only=True)
class Holding:
    """What the optimiser holds and does to it.

    ``foreign`` counts its tensors that are not the model's and to which this loss gives no
    gradient; ``is_empty`` says that it holds no parameter of the model; ``is_frozen`` that the
    model has none to be trained. ``broken`` are the layers in which ``broken_at``, the first
    such step, turned finite gradients into weights that are not finite. ``is_descent``: plain
    gradient descent, with or without momentum. ``direction`` is the cosine between the first step
    and the gradient, None where nothing moved; ``decay`` the part of a weight that decay takes in
    a step.
    """

    foreign: int = 0
    is_empty: bool = False
    is_frozen: bool = False
    broken: tuple[str, ...] = ()
    broken_at: int = 0
    is_descent: bool = False
    direction: float | None = None
    decay: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Reshape:
    """A reshape that laid axes across each other, before something read one of them by meaning.

    ``before`` are the sizes of the axes that the program had made, ``after`` those that it took
    for them. Probably meant was to cut ``before`` into ``parts``, permute these to ``order``, and
    join them; ``is_shuffle`` says that a pixel_shuffle was. ``reader`` read it, in ``read_in``.
    ``owner`` and ``read_in`` are None outside of the model, as in the loss.
    """

    owner: str | None
    operator: str
    before: tuple[int, ...]
    after: tuple[int, ...]
    parts: tuple[int, ...] = ()
    order: tuple[int, ...] = ()
    is_shuffle: bool = False
    is_certain: bool = True
    reader: str = ""
    read_in: str | None = None


@dataclass(frozen=True)
class Evidence:
    """What a check reads. ``looks`` come in the order of the steps; the first is the start.

    ``rates`` is the learning rate of every parameter that the optimiser holds; ``ends`` are the
    nodes that made the model's output, ``goals`` those that made what is minimised (the output, or
    the loss of ``forward``), ``reached`` those to which the autograd graph of the loss leads back;
    ``oddities`` are modules by what is odd about them
    ("overwritten" weights, a drawn "padding" row, "stray" parameters that they do not hold, and
    layers whose weights have "vanished" on their way from the parameters);
    ``places`` says where in the batch the measured "inputs" and "targets" lie; ``given`` is root
    mean square and largest |value| of the batch's inputs, before the model does anything to them;
    ``momentum`` is the optimiser's; ``stride`` the learning rate times the largest curvature at the
    start, over 1 + momentum, where that was measured; ``objective`` is what the loss can reach,
    None where it cannot be asked; ``born_at`` the node that made the first NaN or infinity;
    ``holding`` what the optimiser holds; ``dependencies`` what moves when one sample, one position
    or one input is perturbed; ``learning`` what `learns` found, where it was asked;
    ``written`` the places of the batch that every pass changes again; ``felt`` the layers that
    move the loss through numbers alone; ``reshapes`` those that
    mixed axes up.
    """

    nodes: tuple[Node, ...]
    parameters: dict[str, Parameter]
    looks: tuple[Look, ...]
    loss: LossFacts
    before: ModelRecord
    after: ModelRecord
    order: tuple[str, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)
    is_default_optimizer: bool = True
    ends: frozenset[int] = frozenset()
    reached: frozenset[int] = frozenset()
    goals: frozenset[int] = frozenset()
    oddities: dict[str, tuple[str, ...]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    given: tuple[float, float] | None = None
    momentum: float = 0.0
    stride: float | None = None
    objective: ObjectiveFacts | None = None
    born_at: int | None = None
    holding: Holding = field(default_factory=Holding)
    dependencies: Dependencies = field(default_factory=Dependencies)
    learning: Learning | None = None
    written: tuple[str, ...] = ()
    felt: tuple[str, ...] = ()
    reshapes: tuple[Reshape, ...] = ()

    @property
    def start(self) -> Look:
        """The look before the first step."""
        return self.looks[0]

    @functools.cached_property
    def trajectory(self) -> LossTrajectory:
        """The losses of the looks."""
        facts = self.objective
        is_open = facts is None or facts.is_bottomless
        return LossTrajectory(
            losses=tuple(look.loss for look in self.looks),
            is_chosen=not self.is_default_optimizer,
            chance=self.loss.chance,
            constant=None if facts is None or is_open else facts.constant,
            floor=None if facts is None or is_open else facts.reachable,
        )

    def trainable(self, layer: str) -> list[Parameter]:
        """The parameters of a layer that an optimiser may move."""
        return [p for p in self.parameters.values() if p.layer == layer and p.trainable]
