"""Which outputs move when one sample, one position or one input is perturbed."""

from __future__ import annotations

from pytest_initcheck.dependence.perturb import dependencies

__all__ = ["dependencies"]
