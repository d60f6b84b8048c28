"""Where a trained or stuck model stands: on a slope, a saddle, in a minimum, or on flat ground."""

from __future__ import annotations

from pytest_initcheck.curvature.critical import critical_point
from pytest_initcheck.curvature.jacobian import Jacobian, SampleJacobian, SingularValue, jacobian
from pytest_initcheck.curvature.point import CriticalPoint, Eigenvalue, Kind

__all__ = [
    "CriticalPoint",
    "Eigenvalue",
    "Jacobian",
    "Kind",
    "SampleJacobian",
    "SingularValue",
    "critical_point",
    "jacobian",
]
