"""The curvature that the steps of gradient descent met, where they seem too large for it."""

from __future__ import annotations

import math

from pytest_initcheck.capture.program import Program
from pytest_initcheck.curvature.critical import examined
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Observed
from pytest_initcheck.evidence.gradient_flow import has_normalisation

_PRODUCTS = 12


def sharpness(program: Program, observed: Observed) -> float | None:
    """The learning rate in units of the inverse curvature at the start, where it matters.

    Only for gradient descent on a model without normalisation (which takes back the scale of the
    weights, and with it the curvature) whose loss rises between two looks; None elsewhere, and
    where the model cannot be differentiated twice or does not start finite.
    """
    if not _is_suspicious(observed):
        return None
    try:
        point = examined(program, steps=_PRODUCTS)
    except InitcheckError:
        return None
    rate = max((r for r in observed.rates.values() if not math.isnan(r)), default=0.0)
    return rate * point.largest.value / (1 + observed.momentum)


def _is_suspicious(observed: Observed) -> bool:
    is_descent = observed.optimizer.is_descent and not observed.is_default_optimizer
    return is_descent and observed.trajectory.rises and not has_normalisation(observed)
