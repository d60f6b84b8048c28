"""Command line and ini file: what is offered, and which value wins."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck.plugin import backend, ci_options, models, repro, selecting, update_options
from pytest_initcheck.plugin.faults import ignore_fault
from pytest_initcheck.plugin.paths import below, path_option
from pytest_initcheck.session.settings import DEVICES, Settings

if TYPE_CHECKING:
    from pytest_initcheck.baseline.tolerances import Tolerance
    from pytest_initcheck.ignores import Ignore

IGNORE_INI = "initcheck_ignore"
DEFAULT_BASELINES = "baselines"
OFF = "off"
TOLERANCE_INI = "initcheck_tolerance"
PAGE_NAME = "report.html"
CACHED_RUN = Path("v", "initcheck", "run.json")


def add(parser: pytest.Parser) -> None:
    """Declare the options and the ini names."""
    group = parser.getgroup("initcheck", "diagnosis of how models start")
    _add_options(group)
    ci_options.add(parser, group)
    backend.add(parser, group)
    selecting.add(parser, group)
    _add_ini_names(parser)


def _add_options(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--initcheck-report",
        metavar="PATH",
        default=None,
        help="write the report to this HTML file, or into this folder, and its data to run.json "
        "beside it",
    )
    update_options.add(group)
    models.add(group)
    repro.add(group)
    group.addoption(
        "--initcheck-exact",
        action="store_true",
        default=None,
        help="compare with the baselines digit for digit: for the same versions and machine",
    )
    group.addoption(
        "--initcheck-baselines",
        metavar="DIR",
        default=None,
        help="folder of the baselines, or 'off' to compare with none (ini: initcheck_baselines)",
    )
    group.addoption(
        "--initcheck-device",
        choices=DEVICES,
        default=None,
        help="where models run; 'auto' is cuda where there is one (ini: initcheck_device)",
    )
    group.addoption(
        "--initcheck-mnist",
        metavar="DIR",
        default=None,
        help="folder of the full MNIST set (ini: initcheck_mnist, environment: INITCHECK_MNIST)",
    )


def _add_ini_names(parser: pytest.Parser) -> None:
    parser.addini(
        "initcheck_baselines",
        "folder of the baselines below the rootdir, or 'off' (default: baselines)",
        default=None,
        type="string",
    )
    parser.addini(
        "initcheck_device", "where models run: cpu, cuda or auto", default=None, type="string"
    )
    parser.addini("initcheck_mnist", "folder of the full MNIST set", default=None, type="string")
    parser.addini(
        "initcheck_thorough",
        "also ask of every diagnosis whether the model can fit its batch (default: false)",
        default=False,
        type="bool",
    )
    parser.addini(
        "initcheck_least",
        "changes that are no chance, but smaller than this share of the value, are notes "
        "(default: 0.02)",
        default=None,
        type="string",
    )
    parser.addini(
        "initcheck_tolerance",
        "tolerances by name, one a line: metric PATTERN: SHARE, or curve, or layer",
        default=[],
        type="linelist",
    )
    parser.addini(
        "initcheck_ignore",
        "findings that do not count, one a line: ID [layer pattern]: reason",
        default=[],
        type="linelist",
    )


def resolve(config: pytest.Config) -> Settings:
    """What the command line, the ini file and the environment say together.

    Raises:
        pytest.UsageError: two of them contradict each other, or a value is not allowed.
    """
    settings = Settings(
        root=config.rootpath,
        report=_report(config),
        baselines=_baselines(config),
        update=update_options.resolve(config),
        device=first(config.getoption("--initcheck-device"), _device_of_ini(config)),
        mnist=_mnist(config),
        ignores=_ignores_of_ini(config),
        thorough=_thorough_of_ini(config),
        allow_unhealthy=update_options.allowed(config),
        exact=bool(config.getoption("--initcheck-exact")),
        least=_least_of_ini(config),
        tolerance=_tolerance_of_ini(config),
        last_run=_last_run(config),
        ci=ci_options.resolve(config),
        backend=backend.resolve(config),
    )
    _refuse_conflicts(config, settings)
    selecting.check(config)
    return settings


def _report(config: pytest.Config) -> Path | None:
    path = path_option(config, "--initcheck-report", "an HTML file")
    is_folder = str(config.getoption("--initcheck-report")).endswith(("/", os.sep))
    return path / PAGE_NAME if path is not None and is_folder else path


def first(*values: Any) -> Any:
    """The first value that is not None."""
    return next((value for value in values if value is not None), None)


def _ini(config: pytest.Config, name: str) -> str | None:
    return config.getini(name) or None


def _baselines(config: pytest.Config) -> Path | None:
    given = config.getoption("--initcheck-baselines")
    if given == "":
        raise pytest.UsageError("--initcheck-baselines is empty: give a folder, or 'off'")
    if given is not None:
        return None if given == OFF else below(config.invocation_params.dir, given)
    ini = _ini(config, "initcheck_baselines")
    return None if ini == OFF else below(config.rootpath, first(ini, DEFAULT_BASELINES))


def _last_run(config: pytest.Config) -> Path | None:
    try:
        folder = config.getini("cache_dir")
    except (ValueError, KeyError):  # Pytest runs without its cache.
        return None
    return below(config.rootpath, str(folder)) / CACHED_RUN


def _device_of_ini(config: pytest.Config) -> str | None:
    device = _ini(config, "initcheck_device")
    if device is not None and device not in DEVICES:
        raise pytest.UsageError(f"initcheck_device = {device}: must be one of {', '.join(DEVICES)}")
    return device


def _mnist(config: pytest.Config) -> str | None:
    given = config.getoption("--initcheck-mnist")
    if given is not None:
        if not given:
            raise pytest.UsageError("--initcheck-mnist is empty: give the folder of the MNIST set")
        return str(below(config.invocation_params.dir, given))
    ini = _ini(config, "initcheck_mnist")
    return None if ini is None else str(below(config.rootpath, ini))


def _thorough_of_ini(config: pytest.Config) -> bool:
    try:
        return bool(config.getini("initcheck_thorough"))
    except (ValueError, TypeError, pytest.UsageError) as error:
        raise pytest.UsageError(f"initcheck_thorough (ini file): {error}") from None


def _least_of_ini(config: pytest.Config) -> float | None:
    text = _ini(config, "initcheck_least")
    if text is None:
        return None
    try:
        least = float(text)
    except ValueError:
        least = math.nan
    if not 0 <= least < math.inf:
        raise pytest.UsageError(f"initcheck_least = {text}: must be a number of at least 0")
    return least


def _tolerance_of_ini(config: pytest.Config) -> tuple[Tolerance, ...]:
    lines = config.getini(TOLERANCE_INI)
    fault = tolerance_fault(lines)
    if fault:
        raise pytest.UsageError(f"{TOLERANCE_INI} (ini file): {fault}")
    return tolerances(lines)


def tolerances(given: Any) -> tuple[Tolerance, ...]:
    """Lines without a fault as tolerances; nothing is imported where there are none."""
    if not given:
        return ()
    from pytest_initcheck.baseline.tolerances import parse_tolerances

    return parse_tolerances(given)


def _ignores_of_ini(config: pytest.Config) -> tuple[Ignore, ...]:
    lines = config.getini(IGNORE_INI)
    if not lines:
        return ()
    fault = ignore_fault(lines)
    if fault:
        raise pytest.UsageError(f"{IGNORE_INI} (ini file): {fault}")
    return placed(lines, IGNORE_INI, shared=True)


def placed(given: Any, origin: str, *, shared: bool) -> tuple[Ignore, ...]:
    """Ignores with the place in which they stand."""
    from pytest_initcheck.ignores import parse

    return tuple(replace(ignore, origin=origin, shared=shared) for ignore in parse(given))


def _refuse_conflicts(config: pytest.Config, settings: Settings) -> None:
    if settings.update and settings.baselines is None:
        given = config.getoption("--initcheck-baselines") is not None
        off = "--initcheck-baselines=off" if given else "initcheck_baselines = off (ini file)"
        flag = update_options.FLAGS[settings.update]
        raise pytest.UsageError(f"{flag} and {off} contradict each other: drop one")
    if settings.update == "all" and settings.exact:
        raise pytest.UsageError(
            "--initcheck-update and --initcheck-exact contradict each other: drop one"
        )
    _refuse_places(settings)


def _refuse_places(settings: Settings) -> None:
    outputs = ci_options.outputs(settings.ci)
    if settings.report is not None:
        outputs = {"--initcheck-report": settings.report, **outputs}
    taken: dict[Path, str] = {}
    for option, path in outputs.items():
        if settings.baselines and settings.baselines in path.parents:
            raise pytest.UsageError(
                f"{option} lies in the folder of the baselines, {settings.baselines}: "
                "every file in there is taken for a baseline; choose another path"
            )
        other = taken.setdefault(path, option)
        if other != option:
            raise pytest.UsageError(f"{other} and {option} name one file, {path}: choose two")


def tolerance_fault(value: Any) -> str:
    """What is wrong with tolerances; empty where nothing is."""
    from pytest_initcheck.errors import InitcheckError

    try:
        tolerances(value)
    except (InitcheckError, TypeError) as error:
        return str(error)
    return ""
