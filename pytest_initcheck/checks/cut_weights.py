"""Weights that are cut off from the operation that reads them, which itself gets a gradient.

A layer behind a cut gets no gradient because its output goes on without one. Here the output does
get one; the way is cut between the parameter and its use: a weight that is rebuilt from parameters
and detached, or read as ``.data``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.checks.cuts import feeds_layer, frontier, is_behind_trained
from pytest_initcheck.evidence import Evidence, Node, Parameter
from pytest_initcheck.evidence.signals import largest_gradient, update_ratio
from pytest_initcheck.records import Severity

# What is read as an index is no value to be trained.
_LOOKUPS = frozenset({"index", "index_select", "gather", "scatter", "take", "index_put"})


@dataclass(frozen=True, kw_only=True)
class CutWeight:
    """A parameter of which weights are made that are used without their gradient.

    ``reader`` is the operation that uses them, and that has a gradient.
    """

    parameter: Parameter
    reader: Node
    severity: Severity


def cut_weights(evidence: Evidence) -> list[CutWeight]:
    """Parameters that the optimiser holds, and that no gradient comes to from what uses them."""
    if evidence.loss.is_forward and evidence.is_default_optimizer:
        # Who passes forward= may train one of several networks.
        return []
    return list(_found(evidence))


def _found(evidence: Evidence) -> Iterator[CutWeight]:
    bare = _without_data(evidence)
    for name in dict.fromkeys(name for node in evidence.nodes for name in node.params):
        parameter = evidence.parameters.get(name)
        if parameter is None or not parameter.trainable or not evidence.rates.get(name):
            continue
        if largest_gradient(evidence, parameter) is not None or update_ratio(evidence, parameter):
            # What moves without a gradient is kept by the model itself, as running means are.
            continue
        reader = _user(evidence, name, bare)
        if reader is not None:
            is_error = len(parameter.shape) > 1 and not evidence.loss.is_forward
            severity: Severity = "error" if is_error else "warning"
            yield CutWeight(parameter=parameter, reader=reader, severity=severity)


def _user(evidence: Evidence, name: str, bare: set[int]) -> Node | None:
    """The first operation with a gradient that uses a parameter, or what is made of it alone."""
    for node in evidence.nodes:
        if name not in node.params or 0 in node.shape:
            continue
        if node.index in evidence.backward_nodes:
            # An index is no value to be trained.
            if not node.shut_off and node.operator.rstrip("_") not in _LOOKUPS:
                return node
        elif node.index in bare:
            edges = frontier(evidence, node, is_of_calls=True)
            if (edge := next(edges, None)) is not None:
                return edge[1]
        elif node.operator.rstrip("_") in _LOOKUPS and is_behind_trained(evidence, [node]):
            # A table of codes, chosen by what a trained layer makes and read by another.
            edges = frontier(evidence, node, is_of_calls=True)
            if (
                reader := next((r for _, r in edges if feeds_layer(evidence, r)), None)
            ) is not None:
                return reader
    return None


def _without_data(evidence: Evidence) -> set[int]:
    """The operations that depend on parameters alone."""
    found: set[int] = set()
    for node in evidence.nodes:
        if node.params and all(index in found for index in node.inputs):
            found.add(node.index)
    return found
