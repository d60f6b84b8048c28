"""What a check may read: the traced graph, the numbers of every look, what was asked of both."""

from __future__ import annotations

from pytest_initcheck.evidence.dependencies import Dependencies
from pytest_initcheck.evidence.evidence import Evidence, LossFacts, Observed, OptimizerFacts
from pytest_initcheck.evidence.graph import Crossing, Node, Reshape
from pytest_initcheck.evidence.snapshot import (
    Array,
    ChoiceSnapshot,
    HeadsSnapshot,
    NonlinearityKey,
    NonlinearitySnapshot,
    OutputSnapshot,
    Parameter,
    ParameterSnapshot,
    Snapshot,
    SumSnapshot,
)

__all__ = [
    "Array",
    "ChoiceSnapshot",
    "Crossing",
    "Dependencies",
    "Evidence",
    "HeadsSnapshot",
    "LossFacts",
    "Node",
    "NonlinearityKey",
    "NonlinearitySnapshot",
    "Observed",
    "OptimizerFacts",
    "OutputSnapshot",
    "Parameter",
    "ParameterSnapshot",
    "Reshape",
    "Snapshot",
    "SumSnapshot",
]
