"""Diagnose how a neural network starts, and guard it in CI."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_initcheck.building import Construction, assert_same_start, construction
    from pytest_initcheck.curvature import CriticalPoint, Jacobian, critical_point, jacobian
    from pytest_initcheck.diagnosis.diagnose import Diagnosis, diagnose
    from pytest_initcheck.errors import BaselineError, DataError, InitcheckError, InitcheckFailure
    from pytest_initcheck.evidence.learning import Learning
    from pytest_initcheck.ignores import Ignore
    from pytest_initcheck.landscape import escape
    from pytest_initcheck.learning.learns import learns
    from pytest_initcheck.meanfield import EdgeOfChaos, MeanField, critical_sigma_w, edge_of_chaos
    from pytest_initcheck.records import Finding, ModelRecord, RunRecord
    from pytest_initcheck.sequential import Sequential
    from pytest_initcheck.sizes import (
        Scaling,
        assert_depth_stable,
        assert_width_stable,
        scaling,
    )
    from pytest_initcheck.stepping import StepReport, check_step
    from pytest_initcheck.training import Experiment, run, sweep
    from pytest_initcheck.watching import Watched, watch

__version__ = "0.1.0"
_HOMES = {
    "assert_depth_stable": "sizes",
    "assert_same_start": "building",
    "assert_width_stable": "sizes",
    "construction": "building",
    "Construction": "building",
    "check_step": "stepping",
    "critical_point": "curvature",
    "CriticalPoint": "curvature",
    "critical_sigma_w": "meanfield",
    "diagnose": "diagnosis",
    "Diagnosis": "diagnosis",
    "escape": "landscape",
    "edge_of_chaos": "meanfield",
    "EdgeOfChaos": "meanfield",
    "Experiment": "training",
    "jacobian": "curvature",
    "Jacobian": "curvature",
    "MeanField": "meanfield",
    "StepReport": "stepping",
    "Sequential": "sequential",
    "learns": "learning.learns",
    "Learning": "evidence.learning",
    "run": "training",
    "scaling": "sizes",
    "Scaling": "sizes",
    "sweep": "training",
    "watch": "watching",
    "Watched": "watching",
    "Finding": "records",
    "Ignore": "ignores",
    "ModelRecord": "records",
    "RunRecord": "records",
    "BaselineError": "errors",
    "DataError": "errors",
    "InitcheckError": "errors",
    "InitcheckFailure": "errors",
}
__all__ = [
    "BaselineError",
    "Construction",
    "CriticalPoint",
    "DataError",
    "Diagnosis",
    "EdgeOfChaos",
    "Experiment",
    "Finding",
    "Ignore",
    "InitcheckError",
    "InitcheckFailure",
    "Jacobian",
    "Learning",
    "MeanField",
    "ModelRecord",
    "RunRecord",
    "Scaling",
    "Sequential",
    "StepReport",
    "Watched",
    "assert_depth_stable",
    "assert_same_start",
    "assert_width_stable",
    "check_step",
    "construction",
    "critical_point",
    "critical_sigma_w",
    "diagnose",
    "edge_of_chaos",
    "escape",
    "jacobian",
    "learns",
    "run",
    "scaling",
    "sweep",
    "watch",
]


def __getattr__(name: str) -> Any:
    # Torch takes seconds to import, so that a session that does not use the package must not pay.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
