"""Calls of a layer that lie behind a cut, where others of the same layer are trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pytest_initcheck.checks.cuts import calls_of, frontier, is_asked
from pytest_initcheck.evidence import Evidence, Node
from pytest_initcheck.evidence.gradient_flow import following

# Which node made something, and what identifies a view of it.
Made = tuple[int, int]
# A state that is warmed up, or a memory, is the smaller part of a sequence.
_LEAST = 0.5


@dataclass(frozen=True, kw_only=True)
class LostCalls:
    """A layer of which some calls get no gradient, though the output depends on them.

    And on data that no other call reads: what they show is not learnt from, as where a recurrence
    detaches its state. A gradient comes back to ``share`` of the calls; for ``edge`` see `Cut`.
    """

    layer: str
    share: float
    edge: tuple[Node, Node]


def lost_calls(evidence: Evidence) -> list[LostCalls]:
    """Layers that learn from some of their calls alone; not where one of several is trained."""
    found, reached = [], _reached(evidence)
    for layer in evidence.order:
        calls = calls_of(evidence, layer)
        lost = [n for n in calls if n.index not in evidence.backward_nodes and not n.shut_off]
        if _LEAST * len(calls) < len(lost) < len(calls) and is_asked(
            evidence, layer, dominates=True
        ):
            edge = next((edge for n in lost for edge in _unreached(evidence, n, reached)), None)
            if edge is not None:
                share = 1 - len(lost) / len(calls)
                found.append(LostCalls(layer=layer, share=share, edge=edge))
    return found


def _reached(evidence: Evidence) -> set[Made]:
    """The parts that operations with a gradient read, also through what is made of data alone."""
    reached = (node for node in evidence.nodes if node.index in evidence.backward_nodes)
    found = {part for node in reached for part in node.reads}
    plain = [part for part in found if _is_plain(evidence, part)]
    return found.union(*(_made_of(evidence, part) for part in plain))


def _unreached(evidence: Evidence, call: Node, reached: set[Made]) -> Iterator[tuple[Node, Node]]:
    """The edges at which a call is cut off that alone reads some of its data."""
    if any(_is_lost(evidence, part, reached) for part in call.reads):
        edges = frontier(evidence, call, is_of_calls=True)
        yield from (edge for edge in edges if _comes_back(evidence, *edge))


def _comes_back(evidence: Evidence, source: Node, reader: Node) -> bool:
    """Whether a value goes on into a later call of the layer that it came from, as a state does."""
    return any(node.is_layer and node.layer == source.layer for node in following(evidence, reader))


def _is_lost(evidence: Evidence, part: Made, reached: set[Made]) -> bool:
    """Whether a part of the data, or of what gets a gradient, is read by no call that has one."""
    maker = part[0]
    if part in reached:
        return False
    if maker < 0 or maker in evidence.backward_nodes or any(node == maker for node, _ in reached):
        return True
    if not _is_plain(evidence, part):
        return False
    return any(_is_lost(evidence, before, reached) for before in _made_of(evidence, part))


def _is_plain(evidence: Evidence, part: Made) -> bool:
    """Whether a part is of what was made of data alone."""
    node = evidence.nodes[part[0]] if part[0] >= 0 else None
    return node is not None and not node.params and all(index < 0 for index in node.inputs)


def _made_of(evidence: Evidence, part: Made) -> frozenset[Made]:
    return evidence.nodes[part[0]].reads
