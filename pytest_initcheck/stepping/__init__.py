"""Whether a user's own training step does what it should: ``check_step``."""

from __future__ import annotations

from pytest_initcheck.stepping.check import check_step
from pytest_initcheck.stepping.report import StepReport

__all__ = ["StepReport", "check_step"]
