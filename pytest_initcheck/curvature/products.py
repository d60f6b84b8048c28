"""Products of the Hessian of the loss with a vector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from pytest_initcheck.capture.program import Program, Result, refused
from pytest_initcheck.capture.restore import preserved
from pytest_initcheck.curvature.smooth import smooth
from pytest_initcheck.curvature.vectors import Coordinates
from pytest_initcheck.errors import InitcheckError

_DIFFERENTIABLE = "a model and a loss that autograd can differentiate on this batch"


class NoSecondDerivative(Exception):
    """Autograd cannot differentiate the gradient of this model, or gives values not finite."""


class Product(Protocol):
    """How the Hessian is multiplied with a vector; vectors are flat, products float64."""

    method: str
    result: Result
    gradient: Tensor

    def __call__(self, vector: Tensor) -> Tensor:
        """The Hessian times ``vector``."""

    def doubt(self, vector: Tensor, image: Tensor) -> float:
        """How far vectorᵀ·image may be from vectorᵀHvector beside rounding."""


class DoubleBackward:
    """Exact up to rounding: the gradient of gradientᵀvector (Pearlmutter, 1994).

    The model runs once; its graph is kept, so that all products are of one and the same loss.
    """

    method = "double backward"

    def __init__(self, program: Program, place: Coordinates) -> None:
        self._place = place
        with smooth(program.model):
            self.result = program.evaluate()
            self._gradients = self._differentiate()
        self.gradient = place.join(self._gradients)

    def _differentiate(self) -> tuple[Tensor, ...]:
        return _second(self.result.loss, self._place.parameters, create_graph=True)

    def __call__(self, vector: Tensor) -> Tensor:
        pairs = zip(self._gradients, self._place.split(vector), strict=True)
        # What is linear in every parameter has a gradient that depends on none.
        curved = [(gradient, part) for gradient, part in pairs if gradient.requires_grad]
        if not curved:
            return torch.zeros_like(self.gradient)
        gradients, parts = zip(*curved, strict=True)
        columns = _second(gradients, self._place.parameters, parts, retain_graph=True)
        image = self._place.join(columns)
        if not bool(image.isfinite().all()):
            raise NoSecondDerivative("the second derivatives are not finite")
        return image

    def doubt(self, vector: Tensor, image: Tensor) -> float:
        return 0.0


def _second(outputs: Any, inputs: Any, weights: Any = None, **options: bool) -> tuple[Tensor, ...]:
    try:
        found: tuple[Tensor, ...] = torch.autograd.grad(
            outputs, inputs, weights, materialize_grads=True, **options
        )
        return found
    except torch.OutOfMemoryError as error:
        raise refused("the Hessian-vector product", error, "a smaller batch") from error
    except Exception as error:
        raise NoSecondDerivative(str(error)) from error


@dataclass
class Differences:
    """Central differences of gradients: error O(h²) and rounding over h.

    The balanced step is h = eps^(1/3) times the scale of the parameters, max(1, ‖w‖) for a unit
    vector (Nocedal and Wright: Numerical Optimization, 2006, section 8.1).
    """

    program: Program
    place: Coordinates
    method: str = field(default="finite differences", init=False)

    def __post_init__(self) -> None:
        self._scale = max(1.0, float(self.place.join(self.place.parameters).norm()))
        self.result, self.gradient = self._evaluate(None)

    @property
    def step(self) -> float:
        """h, a distance in parameter space."""
        return float(self.place.eps ** (1 / 3) * self._scale)

    def __call__(self, vector: Tensor) -> Tensor:
        return self._central(vector, self.step)

    def doubt(self, vector: Tensor, image: Tensor) -> float:
        """How much vectorᵀHvector changes when the step is doubled."""
        other = self._central(vector, 2 * self.step)
        return abs(float(vector.double() @ (other - image)))

    def _central(self, vector: Tensor, step: float) -> Tensor:
        ahead = self._evaluate(step * vector)[1]
        image = (ahead - self._evaluate(-step * vector)[1]) / (2 * step)
        if not bool(image.isfinite().all()):
            raise InitcheckError(
                f"the gradient is not finite at a distance of {step:.2g} from the parameters, so "
                "that there is no curvature to measure; pass a model that is smooth there"
            )
        return image

    def _evaluate(self, shift: Tensor | None) -> tuple[Result, Tensor]:
        program, place = self.program, self.place
        # Buffers and random streams start alike in every evaluation.
        with preserved(program.model, program.loss_fn, program.forward):
            if shift is not None:
                with torch.no_grad():
                    for parameter, part in zip(place.parameters, place.split(shift), strict=True):
                        parameter.add_(part)
            with smooth(program.model):
                result = program.evaluate()
            return result, place.join(_first(result.loss, place))


def _first(loss: Tensor, place: Coordinates) -> tuple[Tensor, ...]:
    try:
        return torch.autograd.grad(loss, place.parameters, materialize_grads=True)
    except Exception as error:
        raise refused("the backward pass", error, _DIFFERENTIABLE) from error
