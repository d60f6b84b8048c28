"""Whether a model stands still at a bad place, as a finding."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from pytest_initcheck.checks.external_rules import STUCK
from pytest_initcheck.curvature.point import CriticalPoint
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding

_SADDLES = (
    "Dauphin et al.: Identifying and attacking the saddle point problem (2014)",
    "momentum, noise on the gradient or smaller batches carry it out of a saddle; where units are "
    "equal, draw the weights anew: no gradient tells equal units apart (assert_symmetry_broken)",
)
_FLATS = (
    "Glorot, Bordes, Bengio: Deep Sparse Rectifier Neural Networks (2011)",
    "no optimiser leaves flat ground: draw the weights of the dead or saturated layers anew "
    "(assert_no_dead_layers and assert_no_saturated_layers name them)",
)
_MINIMA = (
    "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.2",
    "train again from other weights, with momentum or larger steps, or a wider model; or ask for "
    "a higher loss",
)
_CONSTANTS = (
    "Goodfellow, Bengio, Courville: Deep Learning (2016), section 8.2",
    "the model ignores its inputs: look for dead layers (assert_no_dead_layers), scale the inputs, "
    "check that targets belong to them, and train again from other weights",
)


def stuck(point: CriticalPoint, loss: float | None = None) -> Finding | None:
    """Why the model is stuck, None where it is not.

    It is not on a slope, nor where the loss is at most ``loss`` (default: nothing left to gain,
    ``tolerance`` times what the best constant prediction costs). Otherwise it is on a saddle, a
    maximum or flat ground, and in a minimum that is above ``loss`` (default: no better than the
    constant prediction; unknown where nothing is known of that).

    Raises:
        InitcheckError: ``loss`` is no finite number.
    """
    _check(loss)
    if point.kind == "slope" or _is_good(point, loss):
        return None
    if point.kind in ("saddle", "maximum"):
        limit = -point.least
        return _found(point, "smallest eigenvalue", point.smallest.value, limit, *_SADDLES)
    if point.kind == "flat":
        size = max(abs(point.largest.value), abs(point.smallest.value))
        return _found(point, "largest curvature", size, point.least, *_FLATS)
    limit = _allowed(point) if loss is None else loss
    if point.loss < limit:
        return None
    is_constant = point.loss >= _allowed(point)
    advice = _CONSTANTS if is_constant else _MINIMA
    return _found(point, "loss in a minimum", point.loss, limit, *advice)


def _check(loss: Any) -> None:
    number = isinstance(loss, (int, float)) and not isinstance(loss, bool)
    if loss is not None and not (number and math.isfinite(loss)):
        raise InitcheckError(f"loss is {loss!r}; pass the highest loss that is good, such as 0.1")


def _is_good(point: CriticalPoint, loss: float | None) -> bool:
    if loss is not None:
        return point.loss <= loss
    return (
        point.best_constant is not None and abs(point.loss) <= point.tolerance * point.best_constant
    )


def _allowed(point: CriticalPoint) -> float:
    if point.best_constant is None:
        return math.inf
    return point.best_constant - point.tolerance * abs(point.best_constant)


def _found(
    point: CriticalPoint, quantity: str, measured: float, limit: float, reference: str, remedy: str
) -> Finding:
    names = [f"{name} {share:.0%}" for name, share in list(point.direction.items())[:3]]
    facts = [f"training stands still: {point}"]
    if point.best_constant is not None:
        facts.append(f"the best constant prediction costs {point.best_constant:.4g}")
    if point.kind == "saddle":
        facts.append(f"the loss falls along {', '.join(names)}")
    return replace(
        STUCK.found(
            "critical point",
            "error",
            (),
            quantity,
            measured=measured,
            limit=limit,
            remedy=remedy,
            cause="; ".join(facts),
        ),
        reference=reference,
    )
