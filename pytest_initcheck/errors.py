"""The errors that the package raises on purpose."""

from __future__ import annotations


class InitcheckError(Exception):
    """Wrong use or bad input; the message says what to pass instead."""


class BaselineError(InitcheckError):
    """A baseline file that cannot be read; the message names the file and the line."""


class DataError(InitcheckError):
    """A data set that is missing, corrupt or truncated; the message names the file."""


class InitcheckFailure(AssertionError):
    """A model or an experiment that does not hold what the test asserts."""
