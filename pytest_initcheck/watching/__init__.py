"""A training of one's own, looked at every so many steps while it runs."""

from __future__ import annotations

from pytest_initcheck.watching.watch import watch
from pytest_initcheck.watching.watched import Watched

__all__ = ["Watched", "watch"]
