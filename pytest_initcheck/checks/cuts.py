"""Cuts: edges of the forward graph over which no gradient comes back.

The trace is the forward graph, and `Evidence.backward_nodes` the autograd graph on the same nodes.
A layer that the output depends on and that gets no gradient lies behind a cut: an edge which the
autograd graph lacks, or one over which only zeros come. What a cut costs is a question of paths:
whether the output depends on the data in any other way.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from pytest_initcheck.evidence import Evidence, Node
from pytest_initcheck.evidence.gradient_flow import (
    data_reach,
    following,
    is_bridge,
    leading_to,
    nodes_behind_the_output,
)
from pytest_initcheck.evidence.signals import largest_gradient, update_ratio, used_parameters
from pytest_initcheck.records import Severity

CutKind = Literal["detached", "chosen", "shut off", "rebuilt", "numbers", "flat", "padding"]


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A layer that the output depends on and that no gradient reaches.

    ``kind`` says what happens on the way from the loss: the value is "detached", "chosen" by an
    index or a comparison, made with gradients "shut off", "rebuilt" from numbers, known to the loss
    in "numbers" alone, all that comes is zero ("flat"), or it comes to the "padding" alone.
    ``edge`` is where a missing edge lies: the operation whose value goes on without its gradient,
    and its reader. ``dominates``: all that the output knows of the data goes through the cut;
    ``feeds``: a layer that is trained follows, so that what comes over the edge is no target to be
    compared with.
    """

    layer: str
    kind: CutKind
    edge: tuple[Node, Node] | None = None
    dominates: bool = False
    feeds: bool = False

    @property
    def severity(self) -> Severity:
        """An error where something is lost; a note where zeros meet the rest of a model.

        Beside a residual connection a part may be without gradient because the rest of the model
        throws away what it makes, such as all positions but one. What runs under torch.no_grad
        may be a backbone that is kept as it is.
        """
        if self.kind == "shut off":
            return "warning"
        if self.kind == "flat":
            return "error" if self.dominates else "info"
        return "error" if self.dominates or self.feeds else "warning"


def cuts(evidence: Evidence) -> list[Cut]:
    """The layers behind a cut, in the order in which they ran.

    Not those that the loss does not ask for: no path leads from them to it, or only one through
    indices, through attention over a single position, or into an output that it leaves alone.
    """
    used = used_parameters(evidence)
    choices = _choices(evidence)
    found = {}
    for layer in evidence.order:
        own = [p for p in evidence.trainable(layer) if p.name in used]
        gradients = [largest_gradient(evidence, p) for p in own]
        if own and not any(gradients):
            is_missing = all(gradient is None for gradient in gradients)
            judge = _missing if is_missing else _flat
            found[layer] = judge(evidence, layer, choices)
    return [cut for cut in found.values() if cut is not None]


def _choices(evidence: Evidence) -> set[int]:
    """The indices and comparisons through which every path from the data runs.

    One of them, or all together, as the spikes of each time step.
    """
    selecting = {node.index for node in evidence.nodes if node.selects}
    bridges = {index for index in selecting if is_bridge(evidence, evidence.nodes[index])}
    goals = evidence.objective_nodes or evidence.output_nodes
    if bridges or not selecting or not goals:
        return bridges
    return set() if data_reach(evidence, goals, without=selecting) else selecting


def _flat(evidence: Evidence, layer: str, choices: set[int]) -> Cut | None:
    """Zeros over edges that are there; they come through indices and tables of padding, too."""
    nodes = calls_of(evidence, layer)
    dominates = any(is_bridge(evidence, node) for node in nodes)
    if is_asked(evidence, layer, dominates=dominates):
        for node in nodes:
            if (chosen := _selection(evidence, node, choices)) is not None:
                return Cut(layer=layer, kind="chosen", edge=chosen, dominates=True)
    open_nodes = nodes_behind_the_output(evidence)
    if not any(node.index in open_nodes for node in nodes):
        return None
    if saw_padding(evidence, layer):
        return Cut(layer=layer, kind="padding") if _saw_more(evidence, layer) else None
    return Cut(layer=layer, kind="flat", dominates=dominates)


def _missing(evidence: Evidence, layer: str, choices: set[int]) -> Cut | None:
    """An edge that the autograd graph lacks, where the layer is meant to be trained."""
    nodes = calls_of(evidence, layer)
    if layer in evidence.value_only:
        dominates = any(is_bridge(evidence, node) for node in nodes)
        is_lost = not evidence.loss.is_forward or is_asked(evidence, layer, dominates=dominates)
        return Cut(layer=layer, kind="numbers", dominates=is_lost)
    if nodes and all(node.index in evidence.backward_nodes for node in nodes):
        # What the layer makes has its gradient: its weights are cut off, and told as such.
        return None
    edges = [edge for node in nodes for edge in frontier(evidence, node)]
    places = [*nodes, *(source for source, _ in edges)]
    dominates = any(is_bridge(evidence, node) for node in places)
    feeds = any(feeds_layer(evidence, reader) for _, reader in edges)
    is_still = not any(update_ratio(evidence, p) for p in evidence.trainable(layer))
    is_inner = feeds and is_still and is_behind_trained(evidence, nodes)
    if not is_asked(evidence, layer, dominates=dominates, is_inner=is_inner):
        return None
    goals = evidence.objective_nodes or evidence.output_nodes
    if goals and not data_reach(evidence, goals):
        return Cut(layer=layer, kind="rebuilt", dominates=True)
    for node in nodes:
        if (chosen := _selection(evidence, node, choices)) is not None:
            return Cut(layer=layer, kind="chosen", edge=chosen, dominates=True)
    if not edges:
        return None
    is_off = all(node.shut_off for node in nodes)
    if is_off and not feeds:
        return None
    return Cut(
        layer=layer,
        kind="shut off" if is_off else "detached",
        edge=edges[0],
        dominates=dominates,
        feeds=feeds,
    )


def is_asked(evidence: Evidence, layer: str, *, dominates: bool, is_inner: bool = False) -> bool:
    """Whether a layer is to be trained by this loss, as far as the call tells.

    Who passes forward= may train one of several networks; not so where the optimiser that was
    passed holds the layer, and everything that the loss knows of the data runs through it, or it
    lies between layers that are trained (``is_inner``): those of another network begin at the data.
    """
    is_held = any(evidence.rates.get(p.name) for p in evidence.trainable(layer))
    if not evidence.loss.is_forward:
        return is_held
    return is_held and (dominates or is_inner) and not evidence.is_default_optimizer


def frontier(
    evidence: Evidence, start: Node, *, is_of_calls: bool = False
) -> Iterator[tuple[Node, Node]]:
    """The edges over which what a node made goes into what is trained, but no gradient comes back.

    Not through indices and comparisons, which are no values to be trained. ``is_of_calls``: a
    reader counts by the gradient of this call, and not by that of other calls of its layer.
    """
    behind = {start.index}
    for node in evidence.nodes[start.index + 1 :]:
        source = next((index for index in node.inputs if index in behind), None)
        if source is None or node.selects or 0 in node.shape:
            continue
        if node.index in evidence.backward_nodes or (
            not is_of_calls and _is_trained(evidence, node)
        ):
            yield evidence.nodes[source], node
        else:
            behind.add(node.index)


def is_behind_trained(evidence: Evidence, nodes: Sequence[Node]) -> bool:
    """Whether what the nodes read, or are chosen by, comes from a layer that gets a gradient."""
    before = leading_to(evidence, {node.index for node in nodes})
    return any(
        largest_gradient(evidence, parameter)
        for node in evidence.nodes
        if node.index in before and node.is_layer
        for parameter in evidence.trainable(node.layer)
    )


def feeds_layer(evidence: Evidence, reader: Node) -> bool:
    """Whether a reader is a layer that is trained, or one follows."""
    return any(
        largest_gradient(evidence, parameter)
        for node in following(evidence, reader)
        if node.is_layer
        for parameter in evidence.trainable(node.layer)
    )


def _is_trained(evidence: Evidence, node: Node) -> bool:
    """Whether a layer gets a gradient, also where a checkpoint runs it once more."""
    gradients = (largest_gradient(evidence, p) for p in evidence.trainable(node.layer))
    return node.is_layer and any(gradient is not None for gradient in gradients)


def _selection(evidence: Evidence, start: Node, choices: set[int]) -> tuple[Node, Node] | None:
    """The first index or comparison behind a node of those through which every path runs."""
    after = {start.index}
    if not choices:
        return None
    for node in evidence.nodes[start.index + 1 :]:
        source = next((index for index in node.inputs if index in after), None)
        if source is None:
            continue
        if node.index in choices:
            return evidence.nodes[source], node
        after.add(node.index)
    return None


def saw_padding(evidence: Evidence, layer: str) -> bool:
    """Whether a table handed on a gradient that none of its rows took: those of padding do not."""
    is_table = any("embedding" in node.operator for node in calls_of(evidence, layer))
    outputs = (look.outputs.get(layer) for look in evidence.snapshots)
    return is_table and any(o is not None and o.gradient and o.gradient.rms for o in outputs)


def _saw_more(evidence: Evidence, layer: str) -> bool:
    """Whether other rows than the one of the padding, which is zero, were read."""
    output = evidence.start.output_stats.get(layer)
    return output is not None and 0 < output.zero_share < 1


def calls_of(evidence: Evidence, layer: str) -> list[Node]:
    """The operations by which a layer applies its weights."""
    return [node for node in evidence.nodes if node.is_layer and node.layer == layer]


def is_unreached(evidence: Evidence) -> bool:
    """Whether no trainable parameter of the model gets any gradient in any look.

    And the loss is not at its floor, where there is none to get.
    """
    return _gets_none(evidence) and not is_solved(evidence)


def is_solved(evidence: Evidence) -> bool:
    """Whether the loss is at its floor from the start, so that no parameter gets any gradient."""
    losses, trainable = evidence.trajectory, evidence.parameters.values()
    is_low = losses.first <= (losses.floor or 0.0) + 1e-6 * abs(losses.first)
    has_tensors = any(largest_gradient(evidence, p) is not None for p in trainable if p.trainable)
    return is_low and has_tensors and _gets_none(evidence)


def _gets_none(evidence: Evidence) -> bool:
    trainable = [p for p in evidence.parameters.values() if p.trainable]
    return bool(trainable) and not any(largest_gradient(evidence, p) for p in trainable)


def unasked_heads(evidence: Evidence) -> list[str]:
    """Layers of an optimiser that was passed which the output holds, and the loss leaves alone."""
    if evidence.is_default_optimizer or not evidence.output_nodes or not evidence.objective_nodes:
        return []
    shown, asked = (
        leading_to(evidence, ends) for ends in (evidence.output_nodes, evidence.objective_nodes)
    )
    held = (p.layer for p in evidence.parameters.values() if evidence.rates.get(p.name))
    return [
        layer
        for layer in dict.fromkeys(held)
        if (mine := {node.index for node in calls_of(evidence, layer)} & shown)
        and not mine & asked
        and all(largest_gradient(evidence, p) is None for p in evidence.trainable(layer))
    ]


def unread_layers(evidence: Evidence) -> list[str]:
    """Layers that the optimiser holds and that ran, whose outputs nothing reads.

    They lead neither to the model's output nor to the loss, nor do they get a gradient.
    """
    goals = evidence.objective_nodes | evidence.output_nodes
    if not goals or (evidence.is_default_optimizer and evidence.loss.is_forward):
        return []
    leading = leading_to(evidence, goals)
    ran = [node for node in evidence.nodes if node.is_layer]
    read = {node.layer for node in ran if node.index in leading or node.shut_off}
    unread = dict.fromkeys(node.layer for node in ran if node.layer not in read)
    return [
        layer
        for layer in unread
        if layer not in evidence.value_only
        and any(evidence.rates.get(p.name) for p in evidence.trainable(layer))
        and not any(largest_gradient(evidence, p) for p in evidence.trainable(layer))
    ]
