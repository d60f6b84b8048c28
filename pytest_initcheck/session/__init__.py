"""One test run: what its tests record, whether that still fits, and who writes it down."""

from __future__ import annotations

from pytest_initcheck.session.collector import Session
from pytest_initcheck.session.provenance import provenance
from pytest_initcheck.session.recorder import Recorder

__all__ = ["Recorder", "Session", "provenance"]
