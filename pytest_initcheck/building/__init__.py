"""How a model was built, as facts: ``construction``, and ``assert_same_start``."""

from __future__ import annotations

from pytest_initcheck.building.construct import Construction, construction
from pytest_initcheck.building.same_start import assert_same_start

__all__ = ["Construction", "assert_same_start", "construction"]
