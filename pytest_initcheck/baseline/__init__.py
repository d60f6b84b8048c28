"""Baselines: what was recorded once, kept in files, and held against what is recorded now."""

from __future__ import annotations

from pytest_initcheck.baseline.admission import refusal
from pytest_initcheck.baseline.compare import compare
from pytest_initcheck.baseline.describe import format_comparison
from pytest_initcheck.baseline.environment import Environment
from pytest_initcheck.baseline.merge import Refused
from pytest_initcheck.baseline.store import Baselines, Listed
from pytest_initcheck.baseline.stored import Band, Stored, freeze

__all__ = [
    "Band",
    "Baselines",
    "Environment",
    "Listed",
    "Refused",
    "Stored",
    "compare",
    "format_comparison",
    "freeze",
    "refusal",
]
