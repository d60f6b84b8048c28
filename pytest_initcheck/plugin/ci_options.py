"""What a run leaves for the system that runs it: options, ini names, environment."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytest_initcheck.plugin.paths import below, path_option
from pytest_initcheck.session.settings import CI

OFF = "off"
ANNOTATIONS = ("auto", OFF)
# https://docs.github.com/en/actions/reference/workflows-and-actions/variables
JOB_SUMMARY = "GITHUB_STEP_SUMMARY"
ON_GITHUB = "GITHUB_ACTIONS"


def add(parser: pytest.Parser, group: pytest.OptionGroup) -> None:
    """Declare the options and the ini names."""
    group.addoption(
        "--initcheck-summary",
        metavar="PATH",
        default=None,
        help="append a summary in Markdown to this file; 'off' also for the CI's own "
        f"({JOB_SUMMARY}) (ini: initcheck_summary)",
    )
    group.addoption(
        "--initcheck-sarif",
        metavar="PATH",
        default=None,
        help="write findings and changed baselines to this file, as SARIF 2.1.0",
    )
    group.addoption(
        "--initcheck-annotations",
        choices=ANNOTATIONS,
        default=None,
        help="annotate the lines of tests on GitHub Actions (default: auto; "
        "ini: initcheck_annotations)",
    )
    parser.addini(
        "initcheck_summary",
        "file below the rootdir that a summary in Markdown is appended to, or 'off'",
        default=None,
        type="string",
    )
    parser.addini(
        "initcheck_annotations",
        "annotate the lines of tests on GitHub Actions: auto or off",
        default=None,
        type="string",
    )


def resolve(config: pytest.Config) -> CI:
    """What the command line, the ini file and the environment say together.

    Raises:
        pytest.UsageError: a value is not allowed.
    """
    job = os.environ.get(JOB_SUMMARY)
    summary, is_off = _summary(config)
    return CI(
        summary=summary,
        job_summary=Path(job) if job and not is_off else None,
        sarif=path_option(config, "--initcheck-sarif", "a file"),
        annotations=_annotations(config) != OFF and os.environ.get(ON_GITHUB) == "true",
    )


def _summary(config: pytest.Config) -> tuple[Path | None, bool]:
    given = config.getoption("--initcheck-summary")
    if given is not None:
        is_off = given == OFF
        path = None if is_off else path_option(config, "--initcheck-summary", "a file, or 'off'")
        return path, is_off
    ini = config.getini("initcheck_summary") or None
    return None if ini in (None, OFF) else below(config.rootpath, str(ini)), ini == OFF


def _annotations(config: pytest.Config) -> str:
    given = config.getoption("--initcheck-annotations")
    value = str(given or config.getini("initcheck_annotations") or ANNOTATIONS[0])
    if value not in ANNOTATIONS:
        raise pytest.UsageError(
            f"initcheck_annotations = {value}: must be one of {', '.join(ANNOTATIONS)}"
        )
    return value


def outputs(ci: CI) -> dict[str, Path]:
    """The files that options ask for, by the option."""
    named = {"--initcheck-summary": ci.summary, "--initcheck-sarif": ci.sarif}
    return {option: path for option, path in named.items() if path is not None}
