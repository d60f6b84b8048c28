"""Questions about a trace that several checks ask."""

from __future__ import annotations

import math
from collections.abc import Callable

from pytest_initcheck.evidence.evidence import Evidence, Observed
from pytest_initcheck.evidence.gradient_flow import makers
from pytest_initcheck.evidence.graph import is_norm, normalises
from pytest_initcheck.evidence.loss_trajectory import BLOWN
from pytest_initcheck.evidence.snapshot import NonlinearityKey, Parameter, Snapshot

# Learning rates in units of the inverse curvature from which a network does not come back. The
# curvature of a cross-entropy falls as soon as the model is sure of something.
DIVERGES = 4.0
DIVERGES_CLASSES = 12.0
# What two neighbouring numbers around one differ by.
SPACING = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7, "float16": 2.0**-10}


def has_temperature(evidence: Observed) -> bool:
    """Whether a learned scalar sets the scale of normalised outputs, as in contrastive models."""
    last = max((node.index for node in evidence.nodes if node.is_layer), default=-1)
    is_bounded = any(normalises(node) for node in evidence.nodes[last + 1 :])
    return is_bounded and any(
        node.operator.rstrip("_") in ("mul", "div")
        and any(math.prod(evidence.parameters[name].shape) == 1 for name in node.params)
        for node in evidence.nodes[last + 1 :]
    )


def is_varied(evidence: Observed) -> bool:
    """Whether the samples of the batch differ in what the first layer receives."""
    outputs = (evidence.start.outputs.get(layer) for layer in evidence.order)
    shares = [o.variation for o in outputs if o is not None and o.variation is not None]
    return bool(shares) and shares[0] > 0


def used_parameters(evidence: Observed) -> set[str]:
    """Names of the parameters that took part in the forward pass on at least one value."""
    return {
        name
        for node in evidence.nodes
        for name in node.params
        if all(size > 0 for size in node.shape)
    }


def largest_gradient(evidence: Observed, parameter: Parameter) -> float | None:
    """The largest |gradient| of a parameter over all looks; None where none ever came."""
    found = []
    for look in evidence.snapshots:
        gradient = look.parameters[parameter.name].gradient
        if gradient is not None:
            found.append(_largest(gradient.min, gradient.max, gradient.nonfinite))
    return max(found, default=None)


def _largest(low: float | None, high: float | None, nonfinite: int) -> float:
    return float("inf") if nonfinite else max(abs(low or 0.0), abs(high or 0.0))


def all_gone(evidence: Observed) -> bool:
    """Whether no parameter gets any gradient in the last look."""
    last = evidence.snapshots[-1].parameters.values()
    gradients = [look.gradient for look in last if look.gradient is not None]
    return bool(gradients) and all(g.zero_share == 1 for g in gradients)


def depth_of(evidence: Observed) -> Callable[[str], int]:
    """A sort key for layer names: the order in which the layers ran, others last."""
    order = {layer: i for i, layer in enumerate(evidence.order)}
    return lambda layer: order.get(layer, len(order))


def finite_looks(evidence: Observed) -> list[Snapshot]:
    """The looks up to the first whose loss is not finite."""
    found = []
    for look in evidence.snapshots:
        if look.loss != look.loss or look.loss in (float("inf"), float("-inf")):
            break
        found.append(look)
    return found


def update_ratio(evidence: Evidence, parameter: Parameter) -> float:
    """How far the steps moved a parameter, relative to its start; 0 where that is not known."""
    short = parameter.name.removeprefix(parameter.layer + ".")
    layers = (layer for layer in evidence.after.layers if layer.name == parameter.layer)
    return next((layer.update_ratio.get(short, 0.0) for layer in layers), 0.0)


def overshoots(evidence: Evidence) -> bool:
    """Whether gradient descent steps too far for the curvature it met, and has not come back.

    The curvature is a reason to expect that the loss will grow; a loss that has fallen below its
    start without ever growing several times over is the evidence that it does not.
    """
    trajectory = evidence.trajectory
    is_calm = trajectory.last < trajectory.first and trajectory.peak < BLOWN
    is_back = trajectory.is_finite and (is_calm or trajectory.has_learnt)
    return (evidence.sharpness or 0.0) > divergence_limit(evidence) and not is_back


def divergence_limit(evidence: Observed) -> float:
    """The learning rate, in units of the inverse curvature, from which nothing comes back."""
    return DIVERGES_CLASSES if is_class_loss(evidence) else DIVERGES


def is_class_loss(evidence: Observed) -> bool:
    """Whether the loss compares logits or probabilities with classes."""
    targets, chance = evidence.start.targets, evidence.loss.uninformed
    if evidence.loss.classes:
        return True
    if targets is None or chance is None or targets.mean is None or targets.min != 0:
        return False
    # Zeros and ones: then the mean is the share of ones, and so are the squared and the absolute
    # error of predicting zero.
    is_binary = targets.max == 1 and abs(targets.mean + targets.zero_share - 1) < 1e-6
    return is_binary and abs(chance - targets.mean) > 1e-3


def ends_in_classes(evidence: Observed) -> bool:
    """Whether the model's output is a softmax or the logarithm of one."""
    return any(n.index in evidence.output_nodes and "softmax" in n.operator for n in evidence.nodes)


def pushed_by(evidence: Observed, key: NonlinearityKey) -> str:
    """The normalisation before a nonlinearity whose bias outweighs its gain, "" if there is none.

    What leaves a normalisation has the spread of the gain, so that a bias of three of them
    switches a unit off.
    """
    reads = {index for node in makers(evidence, key) for index in node.inputs}
    for node in evidence.nodes:
        if node.index in reads and is_norm(node):
            stats = {n: evidence.start.parameters[n].stats for n in node.params}
            gain = next((s.rms for n, s in stats.items() if s and not n.endswith("bias")), 1.0)
            bias = next((s.mean for n, s in stats.items() if s and n.endswith("bias")), 0.0)
            if bias is not None and bias < -3 * (gain or 0.0):
                return evidence.parameters[node.params[0]].layer
    return ""
