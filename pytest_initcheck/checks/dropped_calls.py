"""Calls of a layer that nothing reads, where they alone read a part of the data."""

from __future__ import annotations

from pytest_initcheck.checks.cuts import calls_of
from pytest_initcheck.evidence import Evidence, Node
from pytest_initcheck.evidence.gradient_flow import leading_to

# A loop that looks up what comes next does so once too often; that is the smaller part of it.
_LEAST = 0.5
# Which node made something, and what identifies a view of it; below zero it is of the batch.
Made = tuple[int, int]


def dropped_calls(evidence: Evidence) -> dict[str, float]:
    """The share of a layer's calls that lead nowhere, by layer, where data are lost with them.

    As in a loop that does not carry its state on. A head that is called at every step and read at
    the last loses nothing: others read what it was given. Not behind forward=, which may look at
    more than it trains.
    """
    goals = evidence.objective_nodes | evidence.output_nodes
    if not goals or evidence.loss.is_forward:
        return {}
    leading = leading_to(evidence, goals)
    read = {part for node in evidence.nodes if node.index in leading for part in _data(node)}
    shares = {}
    for layer in evidence.order:
        calls = calls_of(evidence, layer)
        dropped = [n for n in calls if n.index not in leading and not n.shut_off]
        is_lost = any(part not in read for node in dropped for part in _data(node))
        if is_lost and _LEAST * len(calls) < len(dropped) < len(calls):
            shares[layer] = len(dropped) / len(calls)
    return shares


def _data(node: Node) -> list[Made]:
    """The parts of the batch that a node reads."""
    return [part for part in node.reads if part[0] < 0]
