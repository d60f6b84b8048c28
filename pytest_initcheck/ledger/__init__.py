"""Who wrote every weight: what happens to parameters and buffers while a model is built."""

from __future__ import annotations

from pytest_initcheck.ledger.build import Recorded, build, built

__all__ = ["Recorded", "build", "built"]
