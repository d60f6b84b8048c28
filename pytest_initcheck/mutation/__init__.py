"""Guards that are guarded: start faults, planted into the models that tests use."""

from __future__ import annotations

from pytest_initcheck.mutation.faults import FAULTS, Fault
from pytest_initcheck.mutation.plant import planted

__all__ = ["FAULTS", "Fault", "planted"]
