"""What user code raised, in one line, with the place where it did."""

from __future__ import annotations

import traceback
from pathlib import Path

_PACKAGE = str(Path(__file__).parents[1])


def said(error: BaseException) -> str:
    """The kind of an error and its words, in one line."""
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def place_of(error: BaseException) -> str:
    """Where a user's own code raised an error, "models.py:12"; "" where a library did."""
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return ""
    last = Path(frames[-1].filename)
    is_theirs = not str(last).startswith(_PACKAGE) and "site-packages" not in last.parts
    return f"{last.name}:{frames[-1].lineno}" if is_theirs else ""
