"""What a user passes, put into the forms that everything else knows."""

from __future__ import annotations

from pytest_initcheck.inputs.adapt import Adapted, adapted

__all__ = ["Adapted", "adapted"]
