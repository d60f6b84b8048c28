"""A step of tensors as a flat list of operators: what runs is no longer Python but its trace.

What depends on numbers cannot be traced, and what Python does beside the tensors is not in a trace:
whoever runs one has to compare it with the function now and then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.fx.graph import CodeGen

_ATEN = torch.ops.aten
_SAME = frozenset({_ATEN.alias.default, _ATEN.detach.default})
_RESHAPED = frozenset({_ATEN.view.default, _ATEN.expand.default, _ATEN._unsafe_view.default})


def traced(function: Callable[..., Any], args: tuple[Tensor, ...]) -> Any:
    """The function as operators, made with these arguments, which it may change; None where that
    fails."""
    try:
        program = make_fx(function)(*args)
        _simplify(program)
    except Exception:
        # Whatever it is: without a trace the function itself runs, and says it.
        return None
    return program.forward


def _simplify(program: GraphModule) -> None:
    """Leave out what computes nothing, which costs as much as what does where tensors are small."""
    graph = program.graph
    graph.set_codegen(CodeGen())  # Arguments and results are flat.
    pure = not any(_changes(node) for node in graph.nodes)
    for node in list(graph.nodes):
        if node.op != "call_function":
            continue
        if _is_same(node) or (pure and _is_once(node)):
            node.replace_all_uses_with(node.args[0])
        elif pure and node.target is _ATEN.clone.default:
            _turn_product(program, node)
    graph.eliminate_dead_code()
    graph.lint()
    program.recompile()


def _changes(node: Node) -> bool:
    schema = getattr(node.target, "_schema", None)
    return schema is not None and bool(schema.is_mutable)


def _is_same(node: Node) -> bool:
    """Whether it is its argument under another name."""
    if node.target in _SAME:
        return True
    if node.target not in _RESHAPED:
        return False
    mine = _form(node)
    return mine is not None and mine == _form(node.args[0])


def _is_once(node: Node) -> bool:
    if node.target is not _ATEN.mul.Scalar:
        return False
    factor = node.args[1]
    return type(factor) is int and factor == 1


def _form(node: object) -> tuple[Any, ...] | None:
    value = node.meta.get("val") if isinstance(node, Node) else None
    if not isinstance(value, Tensor):
        return None
    return value.shape, value.stride(), value.storage_offset(), value.dtype


def _turn_product(program: GraphModule, clone: Node) -> None:
    """A copy of a transposed product is the product of the transposed factors."""
    turned = clone.args[0]
    product = turned.args[0] if _is_turned(turned) else None  # type: ignore[union-attr]
    if not isinstance(product, Node) or product.target is not _ATEN.bmm.default:
        return
    with program.graph.inserting_before(clone):
        factors = [
            program.graph.call_function(_ATEN.transpose.int, (factor, 1, 2))
            for factor in reversed(product.args)
        ]
        clone.replace_all_uses_with(program.graph.call_function(_ATEN.bmm.default, (*factors,)))


def _is_turned(node: object) -> bool:
    return (
        isinstance(node, Node)
        and node.target is _ATEN.transpose.int
        and {axis % 3 for axis in node.args[1:]} == {1, 2}  # type: ignore[operator]
    )
