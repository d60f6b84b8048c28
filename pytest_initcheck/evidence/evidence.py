"""Everything that was measured of a start, as one value that the checks read."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, fields
from typing import Any

from pytest_initcheck.evidence.agreement import Agreement
from pytest_initcheck.evidence.batch_place import BatchPlace
from pytest_initcheck.evidence.buffers import OddBuffer
from pytest_initcheck.evidence.construction import ConstructionFacts
from pytest_initcheck.evidence.dependencies import Dependencies
from pytest_initcheck.evidence.graph import Crossing, Node, Reshape
from pytest_initcheck.evidence.interleaving import Interleaving
from pytest_initcheck.evidence.learning import Learning
from pytest_initcheck.evidence.loss_trajectory import LossTrajectory
from pytest_initcheck.evidence.objective import ObjectiveFacts
from pytest_initcheck.evidence.scaling_line import ScalingLine
from pytest_initcheck.evidence.sigma_range import SigmaRange
from pytest_initcheck.evidence.snapshot import Parameter, Snapshot
from pytest_initcheck.evidence.streams import Stream
from pytest_initcheck.records import ModelRecord

# A rate of dropout from which on less than a tenth comes through.
DROPPING = 0.9


@dataclass(frozen=True, kw_only=True)
class LossFacts:
    """The loss at the start beside what an uninformed prediction costs.

    ``uninformed`` is the loss of a constant prediction (equal probabilities, or zero); ``spread``
    its standard error over the samples of the batch; ``growth`` the factor by which the loss of
    that prediction grows when the batch is doubled (1 for a mean, 2 for a sum). ``is_forward`` says
    that the caller passed ``forward``, which may train one network of several.
    ``left_out`` are outputs and parts of the batch that no one chose to leave out of the loss.
    """

    name: str
    initial: float
    uninformed: float | None = None
    growth: float | None = None
    classes: int | None = None
    is_forward: bool = False
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OptimizerFacts:
    """What the optimiser holds and does to it.

    ``foreign`` counts its tensors that are not the model's and to which this loss gives no
    gradient; ``is_empty`` says that it holds no parameter of the model; ``is_frozen`` that the
    model has none to be trained. ``broken`` are the layers in which ``broken_at``, the first
    such step, turned finite gradients into weights that are not finite. ``is_descent``: plain
    gradient descent, with or without momentum. ``direction`` is the cosine between the first step
    and the gradient, None where nothing moved; ``decay`` the part of a weight that decay takes in
    a step; ``decay_share`` the norm of a decay that is added to the gradient over that of the
    gradient; ``fading`` the part of its own learning rate that it takes in every step;
    ``lost_share`` of the squared gradient that on elements of less than single precision which no
    step moves, as rounding takes it.
    """

    foreign: int = 0
    is_empty: bool = False
    is_frozen: bool = False
    broken: tuple[str, ...] = ()
    broken_at: int = 0
    is_descent: bool = False
    direction: float | None = None
    decay: float = 0.0
    decay_share: float = 0.0
    fading: float = 0.0
    lost_share: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Observed:
    """What the looks and the steps showed. ``snapshots`` come in the order of the steps; the first
    is the start.

    ``rates`` is the learning rate of every parameter that the optimiser holds; ``output_nodes`` are
    the nodes that made the model's output, ``objective_nodes`` those that made what is minimised
    (the output, or the loss of ``forward``), ``backward_nodes`` those to which the autograd graph
    of the loss leads back; ``anomalies`` are modules by what is odd about them ("overwritten"
    weights, a drawn "padding" row, "stray" parameters that they do not hold, and layers whose
    weights have "vanished" on their way from the parameters); ``batch_paths`` says where in the
    batch the measured "inputs" and "targets" lie; ``input_scale`` is root mean square and largest
    |value| of the batch's inputs, before the model does anything to them; ``momentum`` is the
    optimiser's; ``objective`` is what the loss can reach, None where it cannot be asked;
    ``first_nonfinite`` the node that made the first NaN or infinity; ``optimizer`` what the
    optimiser holds; ``inplace_inputs`` the places of the batch that every pass changes again;
    ``reshapes`` those that mixed axes up, ``crossings`` the broadcasts that did, ``turned`` the
    products with weights that sum to one along another axis; ``interleaved`` the images that a
    reshape mixed up before they came; ``streams`` the residual ones;
    ``is_handwritten`` says that a part of the gradient comes from a ``torch.autograd.Function``,
    ``has_dropout`` that calls of the first pass had theirs left out.
    """

    nodes: tuple[Node, ...]
    parameters: dict[str, Parameter]
    snapshots: tuple[Snapshot, ...]
    loss: LossFacts
    before: ModelRecord
    after: ModelRecord
    order: tuple[str, ...] = ()
    rates: dict[str, float] = field(default_factory=dict)
    is_default_optimizer: bool = True
    output_nodes: frozenset[int] = frozenset()
    backward_nodes: frozenset[int] = frozenset()
    objective_nodes: frozenset[int] = frozenset()
    anomalies: dict[str, tuple[str, ...]] = field(default_factory=dict)
    batch_paths: dict[str, BatchPlace] = field(default_factory=dict)
    input_scale: tuple[float, float] | None = None
    momentum: float = 0.0
    objective: ObjectiveFacts | None = None
    first_nonfinite: int | None = None
    optimizer: OptimizerFacts = field(default_factory=OptimizerFacts)
    inplace_inputs: tuple[str, ...] = ()
    reshapes: tuple[Reshape, ...] = ()
    crossings: tuple[Crossing, ...] = ()
    turned: tuple[Crossing, ...] = ()
    interleaved: tuple[Interleaving, ...] = ()
    streams: tuple[Stream, ...] = ()
    is_handwritten: bool = False
    has_dropout: bool = False

    @property
    def start(self) -> Snapshot:
        """The look before the first step."""
        return self.snapshots[0]

    @functools.cached_property
    def trajectory(self) -> LossTrajectory:
        """The losses of the looks."""
        facts = self.objective
        is_open = facts is None or facts.is_bottomless
        return LossTrajectory(
            losses=tuple(look.loss for look in self.snapshots),
            is_chosen=not self.is_default_optimizer,
            uninformed=self.loss.uninformed,
            constant=None if facts is None or is_open else facts.constant,
            floor=None if facts is None or is_open else facts.reachable,
        )

    def trainable(self, layer: str) -> list[Parameter]:
        """The parameters of a layer that an optimiser may move."""
        return [p for p in self.parameters.values() if p.layer == layer and p.trainable]


@dataclass(frozen=True, kw_only=True)
class Evidence(Observed):
    """What a check reads: what was observed, and what the model was asked in its light.

    ``dependencies`` is what moves when one sample, one position or one input is perturbed;
    ``learning`` what `learns` found, where it was asked; ``value_only`` the layers that move the
    loss through numbers alone; ``sharpness`` the learning rate times the largest curvature at the
    start, over 1 + momentum, where the steps gave reason to measure it; ``sigma_range`` between
    which σ the first saturated layer passes its signal on, None where no layer is saturated;
    ``idle_terms`` the share of the loss in terms that move with what the optimiser holds and pull
    at other parameters alone; ``unturned`` the parameters whose gradient stays as it is where the
    loss is turned round; ``line`` the share of what can be learnt that a linear function of
    the inputs reaches, where the model is one; ``construction`` how it was built, where a factory
    was passed in its place; ``odd_buffers`` those whose values cannot be meant so.
    ``depth_scaled`` is what the caller says of the writers of residual streams, a number being the
    σ before it is divided; ``scaling_lines`` what the model's own code does about it; ``agreement``
    what the ranks that hold it compared, None where one process does.
    """

    dependencies: Dependencies = field(default_factory=Dependencies)
    learning: Learning | None = None
    value_only: tuple[str, ...] = ()
    sharpness: float | None = None
    sigma_range: SigmaRange | None = None
    idle_terms: float = 0.0
    unturned: tuple[str, ...] = ()
    line: float | None = None
    construction: ConstructionFacts | None = None
    odd_buffers: tuple[OddBuffer, ...] = ()
    depth_scaled: bool | float | None = None
    scaling_lines: tuple[ScalingLine, ...] = ()
    agreement: Agreement | None = None

    @classmethod
    def of(cls, observed: Observed, **answers: Any) -> Evidence:
        """What was observed, with what was asked."""
        known = {f.name: getattr(observed, f.name) for f in fields(Observed)}
        return cls(**known, **answers)
