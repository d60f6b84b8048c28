"""What a session leaves for the system that runs it: a summary, SARIF, annotations."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path

from pytest_initcheck import files
from pytest_initcheck.report.problems import Place
from pytest_initcheck.session.collector import Session, reason


def leave(session: Session, report: Path | None) -> None:
    """Write the files that were asked for; what prevents one becomes a fault of the session.

    The CI's own summary was not asked for: it gets nothing of a run that recorded nothing, and
    what prevents it is a note.
    """
    ci = session.settings.ci
    if ci.summary is not None:
        _summarise(session, ci.summary, report, session.faults)
    if ci.job_summary is not None and any(test.entries for _, test in session.tests.values()):
        _summarise(session, ci.job_summary, report, session.notes)
    if ci.sarif is not None:
        _write_sarif(session, ci.sarif)


def _summarise(session: Session, path: Path, report: Path | None, told: list[str]) -> None:
    from pytest_initcheck.report.markdown import markdown

    try:
        files.append(path, markdown(session.record(), report))
    except Exception as error:  # A summary must not cost the tests' results.
        told.append(f"summary not written: {path}: {reason(error)}")


def _write_sarif(session: Session, path: Path) -> None:
    from pytest_initcheck.checks import rules
    from pytest_initcheck.report.sarif import sarif

    try:
        text = sarif(session.record(), locations(session), rules(), documentation())
        files.replace(path, text)
    except Exception as error:  # As above.
        session.faults.append(f"SARIF not written: {path}: {reason(error)}")


def annotation_lines(session: Session) -> list[str]:
    """The lines to print where the system reads them off the output; else none."""
    from pytest_initcheck.report import workflow_commands

    if not session.settings.ci.annotations:
        return []
    return workflow_commands.annotation_lines(session.record(), locations(session))


def locations(session: Session) -> dict[str, Place]:
    """Where each test stands, from the root of the repository, as hosts want it."""
    root = session.settings.root
    top = next((folder for folder in (root, *root.parents) if (folder / ".git").exists()), root)
    return {
        nodeid: Place(_from(top, root / file), line + 1)
        for nodeid, ((file, line, _), _) in session.tests.items()
    }


def _from(top: Path, path: Path) -> str:
    path = Path(os.path.normpath(path))
    return (path.relative_to(top) if path.is_relative_to(top) else path).as_posix()


def documentation() -> str:
    """Where the distribution says that the pages of ``docs/`` are; empty where it does not."""
    try:
        urls: list[str] = metadata.metadata("pytest-initcheck").get_all("Project-URL") or []
    except metadata.PackageNotFoundError:
        return ""
    named = dict(url.split(", ", 1) for url in urls if ", " in url)
    return named.get("Documentation", "")
