"""The loss that a step of a training minimises, told by its author or observed."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from pytest_initcheck.capture.signal_stats import unscaled

Mark = tuple[int, int] | None


class LossOfStep:
    """Gathers the loss of one step: what was told, else what was differentiated.

    What several calls of ``backward`` have added to the gradients is what they minimise together,
    so that these are summed up; of what was told several times the mean is taken. Calls that left
    the gradients of this model as they were are those of another one.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._told: list[Tensor] = []
        self._observed: list[Tensor] = []
        self._marks: list[Mark] = []

    def clear(self) -> None:
        """Another step begins."""
        self._told, self._observed = [], []

    def tell(self, loss: Tensor) -> None:
        """The author says what the loss is."""
        self._told.append(loss.detach())

    def forget(self) -> None:
        """What was observed belongs to gradients that were thrown away."""
        self._observed = []

    def before_backward(self) -> None:
        """Something is about to be differentiated."""
        self._marks = self._now()

    def after_backward(self, losses: list[Tensor]) -> None:
        """It has been: whether it counts shows in the gradients."""
        if self._now() != self._marks:
            self._observed += [loss.detach() for loss in losses if loss.numel() == 1]

    def parts(self, scale: Tensor | None) -> list[Tensor]:
        """What sums up to the loss; empty where nobody knows it."""
        if self._told:
            return [loss / len(self._told) for loss in self._told]
        return [unscaled(loss, scale) for loss in self._observed]

    def _now(self) -> list[Mark]:
        return [_mark(parameter.grad) for parameter in self._model.parameters()]


def _mark(gradient: Any) -> Mark:
    return None if gradient is None else (id(gradient), gradient._version)
