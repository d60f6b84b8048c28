"""Which softmaxes of a traced graph are attention."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_initcheck.evidence.graph import Node

_PRODUCTS = frozenset({"bmm", "baddbmm", "matmul", "mm"})


def attention_at(nodes: Sequence[Node], owner: str, layer: str) -> list[Node]:
    """The softmaxes of a module, behind a layer, whose shares weigh data in a product."""
    return [
        node
        for node in nodes
        if (node.owner, node.layer) == (owner, layer)
        and "softmax" in node.operator
        and _weighs(nodes, node)
    ]


def _weighs(nodes: Sequence[Node], softmax: Node) -> bool:
    reached = {softmax.index}
    for node in nodes[softmax.index + 1 :]:
        if reached & set(node.inputs):
            if node.operator in _PRODUCTS and len(node.inputs) > 1:
                return True
            if len(node.inputs) < 2 and not node.is_layer:
                reached.add(node.index)
    return False
