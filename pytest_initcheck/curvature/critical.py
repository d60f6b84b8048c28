"""``critical_point``: measures where a model stands, and puts everything back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pytest_initcheck.capture import validate
from pytest_initcheck.capture.device import described
from pytest_initcheck.capture.prepare import opened
from pytest_initcheck.capture.program import Forward, LossFunction, Program
from pytest_initcheck.curvature.best_constant import constant_loss
from pytest_initcheck.curvature.lanczos import Krylov, krylov
from pytest_initcheck.curvature.point import CriticalPoint, Eigenvalue, predicted_decrease
from pytest_initcheck.curvature.products import (
    Differences,
    DoubleBackward,
    NoSecondDerivative,
    Product,
)
from pytest_initcheck.curvature.vectors import Coordinates, coordinates
from pytest_initcheck.distributed.together import as_one, bare, joined
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.inputs import adapted
from pytest_initcheck.ledger import Recorded, built

TOLERANCE = 1e-3
STEPS = 64
# Gradient descent at its largest stable step leaves a saddle by a factor e in |λ|max / |λ| steps.
PATIENCE = 1e6
MEMORY = 2_000_000_000  # bytes that the basis of the Lanczos process may take


def critical_point(
    model: nn.Module | Callable[[], nn.Module] | Recorded,
    batch: Any,
    loss_fn: LossFunction | None = None,
    forward: Forward | None = None,
    device: str | torch.device | None = None,
    *,
    steps: int = STEPS,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> CriticalPoint:
    """Tell whether a model stands on a slope, a saddle, in a minimum or on flat ground.

    Looks at the loss of the one batch, in training mode without dropout, at its gradient and at
    the outermost eigenvalues of its Hessian over all trainable parameters. Everything is put back
    bit for bit, as `pytest_initcheck.diagnose` does, which takes ``model``, ``batch``,
    ``loss_fn``, ``forward`` and ``device`` in the same forms.

    Args:
        steps: the most Hessian-vector products of the Lanczos process, from 1 up. Default 64; no
            more than a basis of 2 GB holds (50 at 10^7 parameters in float32), fewer where the
            eigenvalues have converged.
        seed: of the random vector that the process starts from.
        tolerance: the share of the loss, above 0, that a change must be worth to count. Default
            1e-3: a model is on a slope where one step of gradient descent gains more than that.

    Raises:
        InitcheckError: wrong use or bad input, or a loss or gradient that is not finite.
    """
    _check_numbers(steps, seed, tolerance)
    module, _ = built(model)
    with joined(module) as spread:
        given = adapted(bare(module, spread), batch, loss_fn, forward=forward)
        whole = as_one(module, spread, given.batch, None)
        with opened(whole.model, whole.batch, given.loss_fn, given.forward, device) as program:
            program.materialise()
            return examined(program, steps=steps, seed=seed, tolerance=tolerance)


def examined(
    program: Program, *, steps: int = STEPS, seed: int = 0, tolerance: float = TOLERANCE
) -> CriticalPoint:
    """The same for a program that is ready to be evaluated.

    Raises:
        InitcheckError: a loss or gradient that is not finite.
    """
    place, search = coordinates(program.model), _Search(steps, seed, tolerance)
    try:
        return _examine(DoubleBackward(program, place), program, place, search)
    except NoSecondDerivative:
        pass
    return _examine(Differences(program, place), program, place, search)


@dataclass(frozen=True)
class _Search:
    steps: int
    seed: int
    tolerance: float


def _check_numbers(steps: Any, seed: Any, tolerance: Any) -> None:
    validate.check_steps(steps)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise InitcheckError(f"seed is {seed!r}; pass a whole number")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not tolerance > 0:
        raise InitcheckError(f"tolerance is {tolerance!r}; pass a share of the loss, such as 1e-3")


def _examine(
    product: Product, program: Program, place: Coordinates, search: _Search
) -> CriticalPoint:
    loss, gradient = float(product.result.loss.detach()), float(product.gradient.norm())
    _check_finite(loss, product.gradient)
    best_constant, tolerance = constant_loss(program, product.result), search.tolerance
    start, steps = _random(place, search.seed), _affordable(search.steps, place)
    basis = krylov(product, start, steps, place.eps, place.storage)
    extremes = _extremes(basis, product, place)
    reach = max(1.0, float(place.join(place.parameters).norm()))
    # Where the loss itself is nothing but rounding, a share of it says nothing.
    scale = max(abs(loss), place.eps * (best_constant or 0.0))
    return CriticalPoint(
        loss=loss,
        gradient_norm=gradient,
        decrease=predicted_decrease(gradient, extremes.curvature, reach, scale),
        largest=extremes.largest,
        smallest=extremes.smallest,
        rounding=extremes.rounding,
        negligible=max(2 * tolerance * scale / reach**2, extremes.curvature / PATIENCE),
        tolerance=tolerance,
        best_constant=best_constant,
        direction=extremes.direction,
        parameters=place.count,
        steps=basis.steps,
        method=product.method,
        meta=_meta(program, place),
    )


def _check_finite(loss: float, gradient: Tensor) -> None:
    bad = int((~gradient.isfinite()).sum())
    what = f"{bad} values of the gradient are not finite"
    if not math.isfinite(loss):
        what = f"the loss is {loss}"
    elif not bad:
        return
    raise InitcheckError(
        f"{what} on this batch, so that there is no curvature to measure; pass the model to "
        "diagnose, which names the layer where it begins"
    )


def _random(place: Coordinates, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randn(place.size, dtype=torch.float64, generator=source).to(place.device)


def _affordable(steps: int, place: Coordinates) -> int:
    return max(min(steps, MEMORY // (place.size * place.storage.itemsize)), 2)


@dataclass(frozen=True)
class _Extremes:
    smallest: Eigenvalue
    largest: Eigenvalue
    rounding: float
    direction: dict[str, float]

    @property
    def curvature(self) -> float:
        return max(abs(self.smallest.value), abs(self.largest.value))


def _extremes(basis: Krylov, product: Product, place: Coordinates) -> _Extremes:
    """Both ends of the spectrum, each from a product with its own Ritz vector."""
    values, vectors = basis.ritz()
    rounding = basis.asymmetry + place.eps * float(abs(values).max())
    measured = []
    for column in (-1, 0):
        vector = basis.vector(vectors[:, column])
        image = product(vector)
        value = float(vector @ image)
        residual = float((image - value * vector).norm())
        rounding = max(rounding, product.doubt(vector, image))
        measured.append((value, residual))
    (high, above), (low, below) = measured
    return _Extremes(
        Eigenvalue(low, below + rounding, min(low, basis.bound(-1))),
        Eigenvalue(high, above + rounding, max(high, basis.bound(1))),
        rounding,
        place.shares(vector),
    )


def _meta(program: Program, place: Coordinates) -> dict[str, str]:
    parameter = place.parameters[0]
    return {
        "model": type(program.model).__name__,
        "loss": program.loss_name,
        **described(parameter.device),
        "dtype": str(parameter.dtype).removeprefix("torch."),
    }
