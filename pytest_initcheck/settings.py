"""What the user asked for, as plain values: for the session, and for one test."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

DEVICES = ("cpu", "cuda", "auto")


class Settings(NamedTuple):
    """What holds for the whole session; ``baselines`` is None where comparison is off."""

    root: Path
    report: Path | None = None
    baselines: Path | None = None
    update: bool = False
    device: str | None = None
    mnist: str | None = None


class Scope(NamedTuple):
    """What holds for one test; tolerances are None where the baseline's own apply."""

    nodeid: str
    baselines: Path | None = None
    update: bool = False
    device: str | None = None
    rtol: float | None = None
    atol: float | None = None
    report: Path | None = None
