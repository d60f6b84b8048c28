"""Where the first NaN or infinity is born: the operation that makes it of what is none."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from pytest_initcheck.capture.composite_calls import CompositeCalls
from pytest_initcheck.capture.observer import Observer
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.capture.trace import Tracer
from pytest_initcheck.evidence import Node

# What a mask puts at minus infinity is meant to be.
_MASKS = ("masked_fill", "where", "full", "triu", "tril", "fill", "copy", "index_put", "add", "sub")


class _Hunter(Tracer):
    """Follows a forward pass and keeps the operations that made NaN, and infinity, first."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.model, Observer(_nothing, _nothing, _nothing))
        self.first_nan: int | None = None
        self.first_inf: int | None = None
        self.is_of_inf = False

    def made(self, node: Node, inputs: list[Tensor], results: list[Tensor]) -> None:
        """Look at what a node received and made."""
        if self.first_nan is None and _any_nan(results) and not _any_nan(inputs):
            self.first_nan = node.index
            # What overflowed before is the cause, unlike a mask's minus infinity.
            self.is_of_inf = any(bool(t.isposinf().any()) for t in inputs if t.is_floating_point())
        is_mask = node.operator.strip("_") in _MASKS
        is_inf = self.first_inf is None and not is_mask and _any_inf(results)
        if is_inf and not _any_inf(inputs):
            self.first_inf = node.index


def first_nonfinite(program: Program) -> int | None:
    """The index of the operation at which NaN, or else infinity, is born; None where none is.

    One forward pass, traced like the first look; the model is put back.
    """
    hunter = _Hunter(program)
    with (
        preserved(program.model, program.loss_fn, program.forward),
        torch.enable_grad(),
        CompositeCalls(hunter),
        hunter.prepared(),
        hunter.running(is_rooted=program.forward is not None),
    ):
        program.evaluate(hunter.add_data)
    if hunter.first_nan is None or (hunter.is_of_inf and hunter.first_inf is not None):
        return hunter.first_inf
    return hunter.first_nan


def _nothing(*_: object) -> None:
    return


def _any_nan(tensors: Iterable[Tensor]) -> bool:
    return any(bool(t.isnan().any()) for t in tensors if t.is_floating_point())


def _any_inf(tensors: Iterable[Tensor]) -> bool:
    return any(bool(t.isinf().any()) for t in tensors if t.is_floating_point())
