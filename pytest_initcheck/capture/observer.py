"""Who is told what the tracer sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from pytest_initcheck.capture.nonlinearity import Nonlinearity
from pytest_initcheck.capture.operation import Operation
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
