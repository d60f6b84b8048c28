"""The autograd graph beside the trace: to which operations the gradient of a loss leads back."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd.function import BackwardCFunction


class AutogradGraph:
    """Notes what autograd made of each traced operation, and follows a loss back through it.

    An edge of the trace between two operations of which only the later one is `reached` is a cut:
    the value goes on, the gradient does not come back. ``is_handwritten``: the last graph that was
    followed has a step whose gradient someone wrote, in an ``autograd.Function``.
    """

    def __init__(self) -> None:
        self._pending: list[tuple[int, list[Tensor]]] = []
        self._nodes: dict[Any, list[int]] = {}
        self.is_handwritten = False

    @property
    def is_waiting(self) -> bool:
        """Whether there is something to `settle`."""
        return bool(self._pending)

    def note(self, node: int, made: list[Tensor]) -> None:
        """What an operator has just made; autograd adopts it only after the operator returns."""
        self._pending.append((node, made))

    def settle(self) -> None:
        """Read what autograd made of the operations that were noted since."""
        for node, made in self._pending:
            functions = [tensor.grad_fn for tensor in made]
            for function in functions if len(functions) < 2 else {*functions}:
                if function is not None:
                    self._nodes.setdefault(function, []).append(node)
        self._pending.clear()

    def reached(self, loss: Tensor) -> frozenset[int]:
        """The operations to which the gradient of a loss leads back; forgets the graph."""
        self.settle()
        found: set[int] = set()
        seen, waiting = {loss.grad_fn}, [loss.grad_fn]
        while waiting:
            function = waiting.pop()
            if function is None:
                continue
            found.update(self._nodes.get(function, ()))
            self.is_handwritten = self.is_handwritten or isinstance(function, BackwardCFunction)
            for before, _ in function.next_functions:
                if before not in seen:
                    seen.add(before)
                    waiting.append(before)
        self._nodes.clear()
        return frozenset(found)
