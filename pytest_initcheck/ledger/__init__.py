"""Who wrote every weight: what happens to parameters and buffers while a model is built."""

from __future__ import annotations

from pytest_initcheck.ledger.build import Recorded, build, built, record, unpacked
from pytest_initcheck.ledger.odd_buffers import odd_buffers

__all__ = ["Recorded", "build", "built", "odd_buffers", "record", "unpacked"]
