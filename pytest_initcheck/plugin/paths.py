"""Paths on the command line and in the ini file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def below(folder: Path, path: str) -> Path:
    """The path, relative to the folder unless it is absolute; ``~`` and variables are filled in."""
    expanded = os.path.expanduser(os.path.expandvars(path))
    return Path(os.path.normpath(folder / expanded))


def path_option(config: pytest.Config, name: str, what: str) -> Path | None:
    """The path that an option gives; None where it is not given.

    Raises:
        pytest.UsageError: it is empty; ``what`` says what to give.
    """
    path = config.getoption(name)
    if path is None:
        return None
    if not path:
        raise pytest.UsageError(f"{name} is empty: give the path of {what}")
    return below(config.invocation_params.dir, path)
