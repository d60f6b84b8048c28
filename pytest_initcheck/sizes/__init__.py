"""How a start scales with a size: ``scaling``."""

from __future__ import annotations

from pytest_initcheck.sizes.measure import scaling
from pytest_initcheck.sizes.result import Scaling
from pytest_initcheck.sizes.stable import assert_depth_stable, assert_width_stable

__all__ = ["Scaling", "assert_depth_stable", "assert_width_stable", "scaling"]
