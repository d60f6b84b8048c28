"""Questions about the paths through a traced model."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator

from pytest_initcheck.evidence.evidence import Observed
from pytest_initcheck.evidence.graph import Node, is_norm, normalises
from pytest_initcheck.evidence.remembered import remembered
from pytest_initcheck.evidence.snapshot import NonlinearityKey

_POOLS = ("mean", "avg_pool1d", "avg_pool2d", "avg_pool3d", "_adaptive_avg_pool2d",
          "_adaptive_avg_pool3d")  # fmt: skip


@remembered
def has_normalisation(evidence: Observed) -> bool:
    """Whether any normalisation over data runs in the model."""
    return any(normalises(node) for node in evidence.nodes)


def is_shut(node: Node) -> bool:
    """Whether no gradient can pass: indices, masks, no values, a softmax over one position."""
    is_single = "softmax" in node.operator and node.width == 1
    return node.selects or is_single or 0 in node.shape


def next_layers(evidence: Observed, start: Node) -> list[Node]:
    """The layers that read what a node made, directly or through other operations."""
    return [node for node in reached_from(evidence, start) if node.is_layer]


def reached_from(evidence: Observed, start: Node) -> list[Node]:
    """What reads what a node made, up to and including the next layers."""
    reached, found = {start.index}, []
    for node in evidence.nodes[start.index + 1 :]:
        if reached & set(node.inputs):
            found.append(node)
            if not node.is_layer:
                reached.add(node.index)
    return found


def is_normalised(evidence: Observed, parameter: str) -> bool:
    """Whether a normalisation takes the scale of a weight back, before or behind one more layer."""
    made = [n for n in evidence.nodes if n.is_layer and parameter in n.params]
    return any(_meets_norm(evidence, node) for node in made)


def _meets_norm(evidence: Observed, start: Node, further: int = 1) -> bool:
    behind = reached_from(evidence, start)
    if any(is_norm(node) for node in behind):
        return True
    if not further or any(node.nonlinearity for node in behind):
        return False
    return any(_meets_norm(evidence, node, further - 1) for node in behind if node.is_layer)


def producers(evidence: Observed, start: Node) -> list[Node]:
    """The layers whose output a node reads, directly or through other operations."""
    wanted, found = set(start.inputs), []
    for node in reversed(evidence.nodes[: start.index]):
        if node.index in wanted:
            if node.is_layer:
                found.append(node)
            else:
                wanted.update(node.inputs)
    return found


def between(evidence: Observed, start: Node) -> list[Node]:
    """The operations between a node and the layers that it reads, latest first."""
    wanted, found = set(start.inputs), []
    for node in reversed(evidence.nodes[: start.index]):
        if node.index in wanted and not node.is_layer:
            found.append(node)
            wanted.update(node.inputs)
    return found


@remembered
def read_layers(evidence: Observed) -> frozenset[str]:
    """The layers whose output some later layer reads."""
    feeding: set[int] = set()
    for node in reversed(evidence.nodes):
        if node.is_layer or node.index in feeding:
            feeding.update(node.inputs)
    read = (node for node in evidence.nodes if node.is_layer and node.index in feeding)
    return frozenset(node.layer for node in read)


def leading_to(
    evidence: Observed, ends: Collection[int], passes: Callable[[Node], bool] = lambda node: True
) -> set[int]:
    """The nodes from which a path leads to one of ``ends``, and these; -1 where the batch is one.

    No path runs through a node that does not let it pass.
    """
    found = set(ends)
    for node in reversed(evidence.nodes):
        if node.index in found and passes(node):
            found.update(node.inputs)
    return found


def following(evidence: Observed, start: Node) -> Iterator[Node]:
    """A node and all to which a path leads from it, in the order in which they ran."""
    after = {start.index}
    for node in evidence.nodes[start.index :]:
        if node.index in after or after & set(node.inputs):
            after.add(node.index)
            yield node


@remembered
def nodes_behind_the_output(evidence: Observed) -> frozenset[int]:
    """The nodes from which a gradient can come: those with a path to the output."""
    read = {index for node in evidence.nodes for index in node.inputs}
    wanted = evidence.objective_nodes or evidence.output_nodes
    ends = {node.index for node in evidence.nodes} & wanted
    unread = {node.index for node in evidence.nodes if node.index not in read}
    return frozenset(leading_to(evidence, ends or unread, lambda node: not is_shut(node)))


@remembered
def looked_up(evidence: Observed) -> frozenset[str]:
    """The parameters whose rows are looked up, as those of an embedding."""
    tables = (node for node in evidence.nodes if "embedding" in node.operator)
    return frozenset(name for node in tables for name in node.params)


def ending(evidence: Observed, *operators: str) -> Node | None:
    """The nonlinearity of these that ends the model, but for a softmax behind it."""
    ends = set(evidence.output_nodes)
    for node in reversed(evidence.nodes):
        if node.index not in ends:
            continue
        if node.nonlinearity in operators:
            return node
        if "softmax" in node.operator:
            ends.update(node.inputs)
    return None


def averaging(evidence: Observed) -> dict[str, float]:
    """Per layer, over how many positions means and poolings on the way to it have averaged.

    Averaging P positions divides what differs between samples of noise by P, which is no fault
    of the weights.
    """
    counts: dict[int, float] = {}
    sizes = {node.index: math.prod(node.shape) for node in evidence.nodes}
    found: dict[str, float] = {}
    for node in evidence.nodes:
        count = max((counts.get(index, 1.0) for index in node.inputs), default=1.0)
        if node.operator in _POOLS and node.inputs:
            before = max(sizes.get(index, 0) for index in node.inputs)
            count *= max(before / max(sizes[node.index], 1), 1.0)
        counts[node.index] = count
        if node.is_layer:
            found[node.layer] = max(found.get(node.layer, 1.0), count)
    return found


def is_gate(evidence: Observed, key: NonlinearityKey) -> bool:
    """Whether the values of a nonlinearity multiply other data, as gates do."""
    mine = {
        n.index
        for n in evidence.nodes
        if (n.owner, n.nonlinearity, n.layer) == (key.owner, key.nonlinearity, key.layer)
    }
    for node in evidence.nodes:
        is_product = node.operator.rstrip("_") in ("mul", "lerp", "addcmul")
        if is_product and mine & set(node.inputs) and len(node.inputs) > 1:
            return True
    return False


def is_gain(evidence: Observed, node: Node) -> bool:
    """Whether a node multiplies by the gain of a normalisation, also of one written by hand."""
    if is_norm(node):
        return True
    if node.operator.rstrip("_") != "mul":
        return False
    before = [evidence.nodes[index] for index in node.inputs if index >= 0]
    roots = [evidence.nodes[index] for n in before for index in n.inputs if index >= 0]
    return any(normalises(n) for n in (*before, *roots))


def is_bridge(evidence: Observed, node: Node) -> bool:
    """Whether every path from the data to the output runs through a node."""
    return bool(_goals(evidence)) and node.index not in _avoided(evidence)


@remembered
def _avoided(evidence: Observed) -> frozenset[int]:
    """The nodes without which a path leads from the data to the output.

    Where all lie between both, in the order in which they ran, such a path has an edge that
    leads past the node.
    """
    goals = _goals(evidence)
    wanted = leading_to(evidence, goals)
    last, furthest, edges = len(evidence.nodes), {-1: -1}, _edges_of_the_model(evidence)
    for node in evidence.nodes:
        if node.index in wanted and (before := [i for i in edges[node.index] if i in furthest]):
            furthest[node.index] = last if node.index in goals else node.index
            furthest.update((i, max(furthest[i], node.index)) for i in before)
    avoided, reach = set(), furthest[-1]
    for node in evidence.nodes:
        if node.index not in furthest or reach > node.index:
            avoided.add(node.index)
        reach = max(reach, furthest.get(node.index, -1))
    return frozenset(avoided) if reach >= last else frozenset()


def _goals(evidence: Observed) -> frozenset[int]:
    return evidence.objective_nodes or evidence.output_nodes


@remembered
def _edges_of_the_model(evidence: Observed) -> dict[int, tuple[int, ...]]:
    """What every node reads, but for targets.

    In a step that the caller wrote these are read by the loss, which is a part of the graph: what
    comes from the batch through no layer, where none follows.
    """
    if not evidence.loss.is_forward:
        return {node.index: node.inputs for node in evidence.nodes}
    layers = {node.index for node in evidence.nodes if node.is_layer}
    before, behind = leading_to(evidence, layers), set(layers)
    for node in evidence.nodes:
        if not behind.isdisjoint(node.inputs):
            behind.add(node.index)
    return {
        node.index: node.inputs
        if node.index in before
        else tuple(index for index in node.inputs if index in behind)
        for node in evidence.nodes
    }


def data_reach(evidence: Observed, ends: Collection[int], without: Collection[int] = ()) -> bool:
    """Whether a path leads from the data to one of the nodes, without passing through others.

    Targets, which a loss of the caller's own step reads, are no such data.
    """
    reached, edges = {-1}, _edges_of_the_model(evidence)
    for node in evidence.nodes:
        if node.index not in without and not reached.isdisjoint(edges[node.index]):
            reached.add(node.index)
    return not reached.isdisjoint(ends)


@remembered
def _all_reached(evidence: Observed) -> frozenset[int]:
    """The nodes to which a path leads from the data, and -1 for these."""
    reached = {-1}
    for node in evidence.nodes:
        if not reached.isdisjoint(node.inputs):
            reached.add(node.index)
    return frozenset(reached)


def last_layer(evidence: Observed) -> str:
    """The layer that ran last; a tied one bears the name under which it was registered first."""
    return next((node.layer for node in reversed(evidence.nodes) if node.is_layer), "")


def last_calls(evidence: Observed) -> set[str]:
    """The layers that make an output themselves, and are called for nothing else."""
    calls = Counter(node.layer for node in evidence.nodes if node.is_layer)
    ends = (n for n in evidence.nodes if n.is_layer and n.index in evidence.output_nodes)
    return {node.layer for node in ends if calls[node.layer] == 1}


def gets_data(evidence: Observed, key: NonlinearityKey) -> bool:
    """Whether data reach a nonlinearity, in the trace of the first look."""
    mine = makers(evidence, key)
    return not mine or any(node.index in _all_reached(evidence) for node in mine)


def makers(evidence: Observed, key: NonlinearityKey) -> list[Node]:
    """The operations that are pooled under a key."""
    wanted = key.owner, key.nonlinearity, key.layer
    return [n for n in evidence.nodes if (n.owner, n.nonlinearity, n.layer) == wanted]
