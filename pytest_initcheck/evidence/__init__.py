"""What a check may read: the traced graph, the numbers of every look, what was asked of both."""

from __future__ import annotations

from pytest_initcheck.evidence.dependencies import Dependencies
from pytest_initcheck.evidence.evidence import Evidence, Holding, LossFacts, Observed
from pytest_initcheck.evidence.graph import Node, Reshape
from pytest_initcheck.evidence.snapshot import (
    Array,
    Look,
    OutputLook,
    Parameter,
    ParameterLook,
    SiteKey,
    SiteLook,
)

__all__ = [
    "Array",
    "Dependencies",
    "Evidence",
    "Holding",
    "Look",
    "LossFacts",
    "Node",
    "Observed",
    "OutputLook",
    "Parameter",
    "ParameterLook",
    "Reshape",
    "SiteKey",
    "SiteLook",
]
