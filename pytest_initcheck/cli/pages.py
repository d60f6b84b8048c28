"""``initcheck report``: pages of stored runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from pytest_initcheck import report as reports
from pytest_initcheck.cli import OK
from pytest_initcheck.cli.project import RUN
from pytest_initcheck.errors import InitcheckError


def report(arguments: argparse.Namespace) -> int:
    """Write the HTML page of a stored run, or of two side by side.

    Raises:
        InitcheckError: more runs than two, one that cannot be read, or a page not be written.
    """
    if len(arguments.run) > 2:
        raise InitcheckError(f"{len(arguments.run)} runs: pass one, or two that stand side by side")
    if len(arguments.run) == 2:
        from pytest_initcheck.cli.side_by_side import side_by_side

        return side_by_side(arguments)
    given = Path(arguments.run[0])
    path = given / RUN if given.is_dir() else given
    output = Path(arguments.output) if arguments.output else path.with_name("index.html")
    print(f"report: {reports.write(reports.read_run(path), output, path)}")
    return OK
