"""What the user asked for, as plain values: for the session, and for one test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from pytest_initcheck.baseline.tolerances import Tolerance
    from pytest_initcheck.checks.selection import Selection
    from pytest_initcheck.ignores import Ignore

DEVICES = ("cpu", "cuda", "auto")
# What is written: nothing, what is missing, or what has changed as well.
Updating = Literal["", "new", "all"]


class CI(NamedTuple):
    """What the run leaves for the system that runs it.

    ``job_summary`` is the file that the system itself shows, ``annotations`` whether it reads
    them off the output.
    """

    summary: Path | None = None
    job_summary: Path | None = None
    sarif: Path | None = None
    annotations: bool = False


class Settings(NamedTuple):
    """What holds for the whole session; ``baselines`` is None where comparison is off.

    ``allow_unhealthy`` is the reason for which an update takes an unhealthy start, ``last_run``
    where each session leaves its run.json.
    """

    root: Path
    report: Path | None = None
    baselines: Path | None = None
    update: Updating = ""
    device: str | None = None
    mnist: str | None = None
    ignores: tuple[Ignore, ...] = ()
    thorough: bool = False
    allow_unhealthy: str = ""
    exact: bool = False
    least: float | None = None
    tolerance: tuple[Tolerance, ...] = ()
    last_run: Path | None = None
    ci: CI = CI()
    backend: str | None = None


class Scope(NamedTuple):
    """What holds for one test; tolerances are None where the baseline's own apply.

    ``ignores`` are those of its markers, the nearest first, then those of the ini file; ``causal``
    is None where the model's own configuration is asked. ``expects_failure`` tells a test that is
    marked xfail, ``variant`` which environments' baselines count for it, "" for all; ``selection``
    says which findings count, and None that all do.
    """

    nodeid: str
    baselines: Path | None = None
    update: Updating = ""
    device: str | None = None
    rtol: float | None = None
    atol: float | None = None
    report: Path | None = None
    ignores: tuple[Ignore, ...] = ()
    causal: bool | None = None
    thorough: bool = False
    allow_unhealthy: str = ""
    exact: bool = False
    least: float | None = None
    tolerance: tuple[Tolerance, ...] = ()
    expects_failure: bool = False
    variant: str = ""
    selection: Selection | None = None
    backend: str | None = None


def tolerances_of(settings: Settings | Scope) -> dict[str, Any]:
    """What a comparison takes of them, as keywords of `Baselines.compare`."""
    least = {} if settings.least is None else {"least": settings.least}
    return {"tolerances": settings.tolerance, **least}
