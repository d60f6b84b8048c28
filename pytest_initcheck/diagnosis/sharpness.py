"""The curvature that the steps of gradient descent met, where they seem too large for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.evidence import Evidence
from pytest_initcheck.evidence.gradient_flow import has_normalisation

_PRODUCTS = 12


def with_sharpness(evidence: Evidence, **subject: Any) -> Evidence:
    """The evidence with the learning rate in units of the inverse curvature, where it matters.

    ``subject`` are the arguments of `critical_point` but its options: the model as it starts.
    Only for gradient descent on a model without normalisation (which takes back the scale of the
    weights, and with it the curvature) whose loss rises between two looks.
    """
    if not _is_suspicious(evidence):
        return evidence
    from pytest_initcheck.curvature import critical_point

    try:
        point = critical_point(**subject, steps=_PRODUCTS)
    except InitcheckError:
        # Not every model can be differentiated twice, and not every start is finite.
        return evidence
    rate = max(evidence.rates.values(), default=0.0)
    return replace(evidence, stride=rate * point.largest.value / (1 + evidence.momentum))


def _is_suspicious(evidence: Evidence) -> bool:
    is_descent = evidence.holding.is_descent and not evidence.is_default_optimizer
    return is_descent and evidence.trajectory.rises and not has_normalisation(evidence)
