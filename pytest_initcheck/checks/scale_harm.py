"""Whether the scale of the weights does harm that was measured."""

from __future__ import annotations

from pytest_initcheck.checks.activation_growth import Growth
from pytest_initcheck.checks.depth import Gradients
from pytest_initcheck.evidence import Evidence


def does_harm(evidence: Evidence) -> bool:
    """Whether signal or gradient vanish or explode, and the steps were not seen to learn."""
    found = [*Gradients().run(evidence), *Growth().run(evidence)]
    is_error = any(finding.severity == "error" for finding in found)
    return is_error and not evidence.trajectory.has_learnt
