"""Paths through random graphs: what is answered in one sweep, against removing each node."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from pytest_initcheck.evidence.gradient_flow import data_reach, is_bridge
from pytest_initcheck.evidence.graph import Node


@st.composite
def graphs(draw):
    size = draw(st.integers(1, 9))
    nodes = tuple(
        Node(
            index=index,
            operator="add",
            owner="",
            inputs=tuple(draw(st.sets(st.integers(-1, index - 1), max_size=3))),
            is_layer=draw(st.booleans()),
        )
        for index in range(size)
    )
    goals = frozenset(draw(st.sets(st.integers(0, size - 1), max_size=2)))
    loss = SimpleNamespace(is_forward=draw(st.booleans()))
    return SimpleNamespace(nodes=nodes, objective_nodes=goals, output_nodes=frozenset(), loss=loss)


def is_behind(graph, node):
    """Whether a layer made a node, or what it was made of."""
    here = graph.nodes[node]
    return node >= 0 and (here.is_layer or any(is_behind(graph, i) for i in here.inputs))


def is_before(graph, node):
    """Whether a layer is, or reads, a node, or what is made of it."""
    readers = [n.index for n in graph.nodes if node in n.inputs]
    return graph.nodes[node].is_layer or any(is_before(graph, i) for i in readers)


def ways(graph, node, without):
    """Whether the data reach a node, by walking back; targets come to a loss past all layers."""
    if node == -1 or node == without:
        return node == -1
    inputs = graph.nodes[node].inputs
    if graph.loss.is_forward and not is_before(graph, node):
        inputs = [i for i in inputs if is_behind(graph, i)]
    return any(ways(graph, i, without) for i in inputs)


@given(graphs())
def test_a_bridge_is_a_node_without_which_no_path_is_left(graph):
    for node in graph.nodes:
        is_left = any(ways(graph, goal, node.index) for goal in graph.objective_nodes)
        assert is_bridge(graph, node) == (bool(graph.objective_nodes) and not is_left)


@given(graphs())
def test_data_reach_what_a_path_leads_to(graph):
    for node in graph.nodes:
        for other in graph.nodes:
            found = data_reach(graph, {node.index}, without={other.index})
            assert found == ways(graph, node.index, other.index)
