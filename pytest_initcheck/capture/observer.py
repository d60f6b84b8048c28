"""Who is told what the tracer sees."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from pytest_initcheck.capture.nonlinearity import Nonlinearity
from pytest_initcheck.capture.operation import Operation
from pytest_initcheck.capture.operators import flat_tensors
from pytest_initcheck.capture.program import Result
from pytest_initcheck.evidence import Node

# What picks the best along an axis.
CHOOSING = frozenset({"topk", "argmax", "max"})


@dataclass
class Observer:
    """What the tracer calls; each receives the tensor as the forward pass left it.

    ``is_told`` says of a nonlinearity of a pass that is followed that it is known well enough;
    ``on_sum`` is called before data are added to data, and gives what is called with the result;
    ``on_softmax`` with the scores and the shares; ``on_choice`` with what an operator of
    `CHOOSING` gave, where it is looked at.
    """

    on_layer: Callable[[Node, Tensor, Tensor | None], None]
    on_nonlinearity: Callable[[Node, Nonlinearity, Tensor, Tensor], None]
    on_first_input: Callable[[Node, Tensor], None]
    is_told: Callable[[Node], bool] = lambda _: False
    on_sum: Callable[[Operation], Callable[[Node, Tensor], None] | None] = lambda _: None
    on_softmax: Callable[[Node, Tensor, Tensor], None] = lambda *_: None
    on_choice: Callable[[Node, Operation, object], None] = lambda *_: None

    def tell_nonlinearity(
        self, node: Node, found: Nonlinearity, slope: Tensor, out: Any, data: Tensor
    ) -> None:
        """Tell of a nonlinearity that made ``out`` of ``data``."""
        if isinstance(out, (Tensor, tuple)):
            result = out if isinstance(out, Tensor) else out[0]
            self.on_nonlinearity(node, found, slope, result)
            if found.family == "softmax" and "log" not in node.operator:
                self.on_softmax(node, data, result)

    def tell_layer(self, node: Node, out: Any, received: Tensor | None, *, is_raw: bool) -> None:
        """Tell of a layer that made ``out`` of what it ``received``."""
        first = next(iter(flat_tensors(out)), None)
        if first is not None:
            self.on_layer(node, first, received)
        if is_raw and received is not None:
            self.on_first_input(node, received)


class Witness(Protocol):
    """What sees the first pass beside the tracer, as calls of torch's functions."""

    def running(self) -> AbstractContextManager[None]:
        """Watch the forward pass that runs inside."""

    def add_data(self, batch: Any) -> None:
        """The batch that the pass is about to run on."""

    def see(self, result: Result) -> None:
        """What the pass gave, before its backward pass."""


class GradientHooks(Protocol):
    """What observes a pass, and can wait for the gradients of what is made in it."""

    def hook_gradient(self, tensor: Tensor, hook: Callable[[Tensor], None]) -> None:
        """Call ``hook`` with the gradient of a tensor that has just been made."""
