"""Where an optimiser ends on an objective function, over seeds, with and without noise."""

from __future__ import annotations

from pytest_initcheck.landscape.explore import escape
from pytest_initcheck.landscape.result import Escape

__all__ = ["Escape", "escape"]
