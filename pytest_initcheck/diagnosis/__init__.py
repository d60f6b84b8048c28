"""``diagnose``: one page, and its steps."""

from __future__ import annotations

from pytest_initcheck.diagnosis.diagnose import Diagnosis, diagnose

__all__ = ["Diagnosis", "diagnose"]
