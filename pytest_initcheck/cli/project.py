"""The project's settings as pytest itself reads them, and the runs of it that are stored."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
from importlib import metadata
from pathlib import Path

import pytest

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.cli.check_options import DEFAULT_REPORT
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.plugin import options
from pytest_initcheck.session.settings import Settings

PLUGIN = "pytest_initcheck.plugin"
RUN = "run.json"


class _Reader:
    """Stops pytest as soon as its configuration stands."""

    def __init__(self) -> None:
        self.settings: Settings | None = None
        self.fault = ""

    @pytest.hookimpl(tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> int:
        try:
            self.settings = options.resolve(config)
        except pytest.UsageError as error:
            self.fault = str(error)
        return 0


def settings_of(rootdir: str | None = None, baselines: str | None = None) -> Settings:
    """The settings that ``pytest`` would have in this folder with these options.

    Raises:
        InitcheckError: the configuration cannot be read, or there is no such folder.
    """
    arguments = [*plugin_arguments(), "-s"]
    if rootdir is not None:
        if not Path(rootdir).is_dir():
            raise InitcheckError(f"--rootdir {rootdir}: there is no such folder")
        arguments += [f"--rootdir={rootdir}", rootdir]
    if baselines is not None:
        arguments.append(f"--initcheck-baselines={baselines}")
    reader, said = _Reader(), ""
    # A project's conftest may import torch; it is read only where the configuration needs it.
    for extra in (["--noconftest"], []):
        said = _run_pytest([*arguments, *extra], reader)
        if reader.settings is not None:
            return reader.settings
    raise InitcheckError(reader.fault or f"pytest cannot read its configuration here: {said}")


def _run_pytest(arguments: list[str], reader: _Reader) -> str:
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
        pytest.main(arguments, plugins=[reader])
    lines = [line.strip() for line in said.getvalue().splitlines() if line.strip()]
    return lines[0] if lines else "no reason given"


def plugin_arguments() -> list[str]:
    """What makes pytest load this plugin where it does not load it by itself."""
    known = (point.value for point in metadata.entry_points(group="pytest11"))
    if PLUGIN in known and not os.environ.get("PYTEST_DISABLE_PLUGIN_AUTOLOAD"):
        return []
    return ["-p", PLUGIN]


def baselines_of(arguments: argparse.Namespace) -> tuple[Baselines, Settings]:
    """The project's baselines.

    Raises:
        InitcheckError: they are switched off, or the settings cannot be read.
    """
    settings = settings_of(arguments.rootdir, arguments.baselines)
    if settings.baselines is None:
        raise InitcheckError("the baselines are switched off here; pass --baselines DIR")
    return Baselines(settings.baselines, settings.root), settings


def run_path(given: str | None, settings: Settings) -> Path:
    """The run.json meant: as given (a file or its folder), or that of the last session.

    Raises:
        InitcheckError: there is none.
    """
    if given is not None:
        path = Path(given)
        return path / RUN if path.is_dir() else path
    reports = [settings.report, settings.root / DEFAULT_REPORT, Path(DEFAULT_REPORT)]
    stored = [report.with_name(RUN) for report in reports if report is not None]
    runs = [run for run in (settings.last_run, *stored) if run is not None and run.is_file()]
    if runs:
        return max(runs, key=lambda run: run.stat().st_mtime_ns)
    raise InitcheckError(
        "there is no stored run; run pytest, which leaves one in its cache, or make one with: "
        f"pytest --initcheck-report={DEFAULT_REPORT}, or pass the path of a {RUN}"
    )
