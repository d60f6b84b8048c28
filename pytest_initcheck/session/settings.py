"""What the user asked for, as plain values: for the session, and for one test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pytest_initcheck.ignores import Ignore

DEVICES = ("cpu", "cuda", "auto")


class Settings(NamedTuple):
    """What holds for the whole session; ``baselines`` is None where comparison is off."""

    root: Path
    report: Path | None = None
    baselines: Path | None = None
    update: bool = False
    device: str | None = None
    mnist: str | None = None
    ignores: tuple[Ignore, ...] = ()
    thorough: bool = False


class Scope(NamedTuple):
    """What holds for one test; tolerances are None where the baseline's own apply.

    ``ignores`` are those of its markers, the nearest first, then those of the ini file; ``causal``
    is None where the model's own configuration is asked.
    """

    nodeid: str
    baselines: Path | None = None
    update: bool = False
    device: str | None = None
    rtol: float | None = None
    atol: float | None = None
    report: Path | None = None
    ignores: tuple[Ignore, ...] = ()
    causal: bool | None = None
    thorough: bool = False
