"""Questions about a trace that several checks ask."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from pytest_initcheck.checks.paths import (
    data_reach,
    heard,
    is_bridge,
    is_norm,
    makers,
    normalises,
    reached_from,
)
from pytest_initcheck.evidence import Array, Evidence, Look, Node, Parameter, SiteKey
from pytest_initcheck.objective.trajectory import BLOWN

# Learning rates in units of the inverse curvature from which a network does not come back. The
# curvature of a cross-entropy falls as soon as the model is sure of something.
STRIDE = 4.0
STRIDE_CLASSES = 12.0
# Rectifiers with a piece of slope zero.
FLAT = ("relu", "relu6", "clamp", "threshold", "hardswish")


def has_temperature(evidence: Evidence) -> bool:
    """Whether a learned scalar sets the scale of normalised outputs, as in contrastive models."""
    last = max((node.index for node in evidence.nodes if node.is_layer), default=-1)
    is_bounded = any(normalises(node) for node in evidence.nodes[last + 1 :])
    return is_bounded and any(
        node.operator.rstrip("_") in ("mul", "div")
        and any(math.prod(evidence.parameters[name].shape) == 1 for name in node.params)
        for node in evidence.nodes[last + 1 :]
    )


def is_varied(evidence: Evidence) -> bool:
    """Whether the samples of the batch differ in what the first layer receives."""
    outputs = (evidence.start.outputs.get(layer) for layer in evidence.order)
    shares = [o.variation for o in outputs if o is not None and o.variation is not None]
    return bool(shares) and shares[0] > 0


def used_parameters(evidence: Evidence) -> set[str]:
    """Names of the parameters that took part in the forward pass on at least one value."""
    return {
        name
        for node in evidence.nodes
        for name in node.params
        if all(size > 0 for size in node.shape)
    }


def largest_gradient(evidence: Evidence, parameter: Parameter) -> float | None:
    """The largest |gradient| of a parameter over all looks; None where none ever came."""
    found = []
    for look in evidence.looks:
        gradient = look.parameters[parameter.name].gradient
        if gradient is not None:
            found.append(_largest(gradient.min, gradient.max, gradient.nonfinite))
    return max(found, default=None)


def _largest(low: float | None, high: float | None, nonfinite: int) -> float:
    return float("inf") if nonfinite else max(abs(low or 0.0), abs(high or 0.0))


def all_gone(evidence: Evidence) -> bool:
    """Whether no parameter gets any gradient in the last look."""
    last = evidence.looks[-1].parameters.values()
    gradients = [look.gradient for look in last if look.gradient is not None]
    return bool(gradients) and all(g.zero_share == 1 for g in gradients)


def depth_of(evidence: Evidence) -> Callable[[str], int]:
    """A sort key for layer names: the order in which the layers ran, others last."""
    order = {layer: i for i, layer in enumerate(evidence.order)}
    return lambda layer: order.get(layer, len(order))


def finite_looks(evidence: Evidence) -> list[Look]:
    """The looks up to the first whose loss is not finite."""
    found = []
    for look in evidence.looks:
        if look.loss != look.loss or look.loss in (float("inf"), float("-inf")):
            break
        found.append(look)
    return found


def overshoots(evidence: Evidence) -> bool:
    """Whether gradient descent steps too far for the curvature it met, and has not come back.

    The curvature is a reason to expect that the loss will grow; a loss that has fallen below its
    start without ever growing several times over is the evidence that it does not.
    """
    trajectory = evidence.trajectory
    is_calm = trajectory.last < trajectory.first and trajectory.peak < BLOWN
    is_back = trajectory.is_finite and (is_calm or trajectory.has_learnt)
    return (evidence.stride or 0.0) > largest_stride(evidence) and not is_back


def largest_stride(evidence: Evidence) -> float:
    """The learning rate, in units of the inverse curvature, from which nothing comes back."""
    return STRIDE_CLASSES if is_class_loss(evidence) else STRIDE


def is_class_loss(evidence: Evidence) -> bool:
    """Whether the loss compares logits or probabilities with classes."""
    targets, chance = evidence.start.targets, evidence.loss.chance
    if evidence.loss.classes:
        return True
    if targets is None or chance is None or targets.mean is None or targets.min != 0:
        return False
    # Zeros and ones: then the mean is the share of ones, and so are the squared and the absolute
    # error of predicting zero.
    is_binary = targets.max == 1 and abs(targets.mean + targets.zero_share - 1) < 1e-6
    return is_binary and abs(chance - targets.mean) > 1e-3


def ends_in_classes(evidence: Evidence) -> bool:
    """Whether the model's output is a softmax or the logarithm of one."""
    return any(n.index in evidence.ends and "softmax" in n.operator for n in evidence.nodes)


def driven(evidence: Evidence, key: SiteKey) -> Array:
    """Which units of a nonlinearity get a gradient, through it or past it; False if not known."""
    units = np.zeros(key.units, dtype=bool)
    if key.nonlinearity not in FLAT:
        return units
    for look in evidence.looks:
        for name, parameter in evidence.parameters.items():
            rows = look.parameters[name].row_gradient if parameter.layer == key.layer else None
            if rows is not None and len(rows) == key.units:
                units |= rows > 0
    return units


def pushed_by(evidence: Evidence, key: SiteKey) -> str:
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


def silent_layers(evidence: Evidence) -> list[str]:
    """Layers that ran, with trainable weights of which none got a gradient in any look.

    Only where one could come: a path leads from the layer to the output, and does not run through
    indices, or through attention over a single position alone. A layer without any gradient
    tensor counts where a later layer that has one reads it: it is cut off by a detach. Where none
    does, as in an auxiliary head, the loss does not ask for it; nor does who passes forward=, or
    an optimiser without it, as a step of one network of several, or runs it under torch.no_grad
    beside the rest.
    """
    used, open_nodes = used_parameters(evidence), heard(evidence)
    largest: dict[str, float | None] = {}
    for layer in evidence.order:
        own = [p for p in evidence.trainable(layer) if p.name in used]
        gradients = [largest_gradient(evidence, p) for p in own]
        if own:
            known = [g for g in gradients if g is not None]
            largest[layer] = max(known) if known else None
    made = {n.layer for n in evidence.nodes if n.is_layer and n.index in open_nodes}
    made -= {layer for layer in made if _saw_padding(evidence, layer)}
    silent = {layer for layer, gradient in largest.items() if gradient == 0 and layer in made}
    for node in reversed(evidence.nodes):
        if not node.is_layer or node.layer not in largest or _is_meant(evidence, node):
            continue
        if largest[node.layer] is None:
            reached = reached_from(evidence, node, differentiable=True)
            if any(r.is_layer and (largest.get(r.layer) or r.layer in silent) for r in reached):
                silent.add(node.layer)
    return [layer for layer in evidence.order if layer in silent]


def _is_meant(evidence: Evidence, node: Node) -> bool:
    """Whether a layer is left without gradient on purpose, as far as the call tells.

    Who passes forward= may train one of several networks; not so where the optimiser that was
    passed holds the layer, and everything that the loss knows of the data runs through it.
    """
    is_held = any(evidence.rates.get(p.name) for p in evidence.trainable(node.layer))
    if not is_held:
        return True
    if evidence.loss.is_forward:
        return evidence.is_default_optimizer or not is_bridge(evidence, node)
    return False


def _saw_padding(evidence: Evidence, layer: str) -> bool:
    """Whether a table handed on a gradient that none of its rows took: those of padding do not."""
    is_table = any(n.layer == layer and n.is_layer and "embedding" in n.operator
                   for n in evidence.nodes)  # fmt: skip
    outputs = (look.outputs.get(layer) for look in evidence.looks)
    return is_table and any(o is not None and o.gradient and o.gradient.rms for o in outputs)


def is_essential(evidence: Evidence, layer: str) -> bool:
    """Whether a layer without gradient is missed: cut off by a detach, or on every path.

    Beside a residual connection a part may be without gradient because the rest of the model
    throws away what it makes, such as all positions but one. What runs under torch.no_grad may be
    a backbone that is kept as it is.
    """
    gradients = [largest_gradient(evidence, p) for p in evidence.trainable(layer)]
    nodes = [n for n in evidence.nodes if n.is_layer and n.layer == layer]
    if all(gradient is None for gradient in gradients):
        return not all(node.shut_off for node in nodes)
    return any(is_bridge(evidence, node) for node in nodes)


def lost_layers(evidence: Evidence) -> list[str]:
    """Trainable layers without gradient behind which the data leave the graph.

    All that the output knows of the data passes through indices or comparisons that some layer
    made, or comes through no operation at all: a tensor was rebuilt from numbers.
    """
    goals = evidence.goals or evidence.ends
    if not goals or (evidence.loss.is_forward and evidence.is_default_optimizer):
        return []
    behind = _before_selection(evidence)
    if behind is None and not data_reach(evidence, goals):
        behind = {node.index for node in evidence.nodes}
    return list(
        dict.fromkeys(
            node.layer
            for node in evidence.nodes
            if node.is_layer and node.index in (behind or ()) and _is_without(evidence, node)
        )
    )


def _before_selection(evidence: Evidence) -> set[int] | None:
    """What lies before an index or a comparison through which every path runs."""
    for node in evidence.nodes:
        if node.selects and is_bridge(evidence, node):
            before = {node.index, *node.inputs}
            for other in reversed(evidence.nodes[: node.index]):
                if other.index in before:
                    before.update(other.inputs)
            return before
    return None


def _is_without(evidence: Evidence, node: Node) -> bool:
    own = evidence.trainable(node.layer)
    return (
        bool(own)
        and not _is_meant(evidence, node)
        and not any(largest_gradient(evidence, p) for p in own)
    )


def is_unreached(evidence: Evidence) -> bool:
    """Whether no trainable parameter of the model gets any gradient in any look.

    And the loss is not at its floor, where there is none to get.
    """
    trainable = [p for p in evidence.parameters.values() if p.trainable]
    losses = evidence.trajectory
    is_low = losses.first <= (losses.floor or 0.0) + 1e-6 * abs(losses.first)
    is_low = is_low and not all(largest_gradient(evidence, p) is None for p in trainable)
    return (
        bool(trainable) and not is_low and not any(largest_gradient(evidence, p) for p in trainable)
    )


def unread_layers(evidence: Evidence) -> list[str]:
    """Layers that the optimiser holds and that ran, whose outputs nothing reads.

    They lead neither to the model's output nor to the loss, nor do they get a gradient.
    """
    goals = evidence.goals | evidence.ends
    if not goals or (evidence.is_default_optimizer and evidence.loss.is_forward):
        return []
    leading = set(goals)
    for node in reversed(evidence.nodes):
        if node.index in leading:
            leading.update(node.inputs)
    ran = [node for node in evidence.nodes if node.is_layer]
    read = {node.layer for node in ran if node.index in leading or node.shut_off}
    unread = dict.fromkeys(node.layer for node in ran if node.layer not in read)
    return [
        layer
        for layer in unread
        if any(evidence.rates.get(p.name) for p in evidence.trainable(layer))
        and not any(largest_gradient(evidence, p) for p in evidence.trainable(layer))
    ]


def kept_out(evidence: Evidence, layers: list[str]) -> bool:
    """Whether one of the layers ran under torch.no_grad."""
    return any(n.shut_off and n.layer in layers for n in evidence.nodes if n.is_layer)
