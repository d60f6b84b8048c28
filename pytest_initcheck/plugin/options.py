"""Command line, ini file and marker: what is offered, and which value wins."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck.session.settings import DEVICES, Scope, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_initcheck.ignores import Ignore

MARKER = (
    "initcheck(*, baseline=True, rtol=None, atol=None, device=None, ignore=(), causal=None, "
    "thorough=None): how this test is diagnosed and compared; baseline=False switches the "
    "comparison off, rtol and atol replace the tolerances of the baseline, device is 'cpu', "
    "'cuda' or 'auto', ignore lists findings that do not count, such as 'IC201 encoder.*: "
    "reason', causal says whether no output may depend on later positions, thorough=True also "
    "asks whether the model can fit its batch."
)
IGNORE_INI = "initcheck_ignore"
DEFAULT_BASELINES = "baselines"
OFF = "off"
CACHED_RUN = Path("v", "initcheck", "run.json")


def add(parser: pytest.Parser) -> None:
    """Declare the options and the ini names."""
    _add_options(parser.getgroup("initcheck", "diagnosis of how models start"))
    _add_ini_names(parser)


def _add_options(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--initcheck-report",
        metavar="PATH",
        default=None,
        help="write the report to this HTML file, and its data to run.json beside it",
    )
    group.addoption(
        "--initcheck-update",
        action="store_true",
        default=None,
        help="write the baselines of the tests that pass instead of comparing with them",
    )
    group.addoption(
        "--initcheck-allow-unhealthy",
        metavar="REASON",
        default=None,
        help="let --initcheck-update also store starts that are not healthy, with this reason",
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
        update=bool(config.getoption("--initcheck-update")),
        device=_first(config.getoption("--initcheck-device"), _device_of_ini(config)),
        mnist=_mnist(config),
        ignores=_ignores_of_ini(config),
        thorough=_thorough_of_ini(config),
        allow_unhealthy=_allowed(config),
        last_run=_last_run(config),
    )
    _refuse_conflicts(config, settings)
    return settings


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), None)


def _ini(config: pytest.Config, name: str) -> str | None:
    return config.getini(name) or None


def _below(folder: Path, path: str) -> Path:
    expanded = os.path.expanduser(os.path.expandvars(path))
    return Path(os.path.normpath(folder / expanded))


def _report(config: pytest.Config) -> Path | None:
    path = config.getoption("--initcheck-report")
    if path is None:
        return None
    if not path:
        raise pytest.UsageError("--initcheck-report is empty: give the path of an HTML file")
    return _below(config.invocation_params.dir, path)


def _baselines(config: pytest.Config) -> Path | None:
    given = config.getoption("--initcheck-baselines")
    if given == "":
        raise pytest.UsageError("--initcheck-baselines is empty: give a folder, or 'off'")
    if given is not None:
        return None if given == OFF else _below(config.invocation_params.dir, given)
    ini = _ini(config, "initcheck_baselines")
    return None if ini == OFF else _below(config.rootpath, _first(ini, DEFAULT_BASELINES))


def _allowed(config: pytest.Config) -> str:
    reason = config.getoption("--initcheck-allow-unhealthy")
    if reason is None:
        return ""
    if not reason.strip():
        raise pytest.UsageError(
            "--initcheck-allow-unhealthy is empty: say why the start may be unhealthy; the reason "
            "is stored"
        )
    if not config.getoption("--initcheck-update"):
        raise pytest.UsageError(
            "--initcheck-allow-unhealthy says nothing but to --initcheck-update"
        )
    return str(reason.strip())


def _last_run(config: pytest.Config) -> Path | None:
    try:
        folder = config.getini("cache_dir")
    except (ValueError, KeyError):  # Pytest runs without its cache.
        return None
    return _below(config.rootpath, str(folder)) / CACHED_RUN


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
        return str(_below(config.invocation_params.dir, given))
    ini = _ini(config, "initcheck_mnist")
    return None if ini is None else str(_below(config.rootpath, ini))


def _thorough_of_ini(config: pytest.Config) -> bool:
    try:
        return bool(config.getini("initcheck_thorough"))
    except (ValueError, TypeError, pytest.UsageError) as error:
        raise pytest.UsageError(f"initcheck_thorough (ini file): {error}") from None


def _ignores_of_ini(config: pytest.Config) -> tuple[Ignore, ...]:
    lines = config.getini(IGNORE_INI)
    if not lines:
        return ()
    fault = _ignore_fault(lines)
    if fault:
        raise pytest.UsageError(f"{IGNORE_INI} (ini file): {fault}")
    return _placed(lines, IGNORE_INI, shared=True)


def _placed(given: Any, origin: str, *, shared: bool) -> tuple[Ignore, ...]:
    from pytest_initcheck.ignores import parse

    return tuple(replace(ignore, origin=origin, shared=shared) for ignore in parse(given))


def _refuse_conflicts(config: pytest.Config, settings: Settings) -> None:
    if settings.update and settings.baselines is None:
        given = config.getoption("--initcheck-baselines") is not None
        off = "--initcheck-baselines=off" if given else "initcheck_baselines = off (ini file)"
        raise pytest.UsageError(f"--initcheck-update and {off} contradict each other: drop one")
    if settings.report and settings.baselines and settings.baselines in settings.report.parents:
        raise pytest.UsageError(
            f"--initcheck-report lies in the folder of the baselines, {settings.baselines}: "
            "every file in there is taken for a baseline; choose another path"
        )


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_tolerance(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value is None or (number and math.isfinite(value) and value >= 0)


def _is_device(value: Any) -> bool:
    return value is None or value in DEVICES


def _is_choice(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _expects(holds: Callable[[Any], bool], what: str) -> Callable[[Any], str]:
    return lambda value: "" if holds(value) else f"must be {what}"


def _ignore_fault(value: Any) -> str:
    from pytest_initcheck.errors import InitcheckError
    from pytest_initcheck.ignores import parse

    try:
        parse(value)
    except InitcheckError as error:
        return str(error)
    return ""


_ARGUMENTS: dict[str, Callable[[Any], str]] = {
    "baseline": _expects(_is_bool, "True or False"),
    "rtol": _expects(_is_tolerance, "a number of at least 0"),
    "atol": _expects(_is_tolerance, "a number of at least 0"),
    "device": _expects(_is_device, "'cpu', 'cuda' or 'auto'"),
    "ignore": _ignore_fault,
    "causal": _expects(_is_choice, "True, False or None"),
    "thorough": _expects(_is_choice, "True, False or None"),
}


def marker_fault(item: pytest.Item) -> str | None:
    """What is wrong with the test's ``initcheck`` markers; None where nothing is."""
    for mark in item.iter_markers("initcheck"):
        known = ", ".join(_ARGUMENTS)
        if mark.args:
            return f"@pytest.mark.initcheck takes keywords only ({known}), not {mark.args[0]!r}"
        for key, value in mark.kwargs.items():
            if key not in _ARGUMENTS:
                return f"@pytest.mark.initcheck has no argument {key!r}; it takes {known}"
            fault = _ARGUMENTS[key](value)
            if fault:
                return f"@pytest.mark.initcheck({key}={value!r}): {fault}"
    return None


def for_test(item: pytest.Item, settings: Settings) -> Scope:
    """What holds for this test: command line over marker over ini file over default."""
    marked: dict[str, Any] = {}
    for mark in item.iter_markers("initcheck"):
        marked = {**mark.kwargs, **marked}
    device = _first(item.config.getoption("--initcheck-device"), marked.get("device"))
    return Scope(
        nodeid=test_id(item),
        baselines=_baselines_of_test(item.config, settings, marked.get("baseline")),
        update=settings.update,
        device=_first(device, settings.device),
        rtol=marked.get("rtol"),
        atol=marked.get("atol"),
        report=settings.report,
        ignores=(*_ignores_of_markers(item), *settings.ignores),
        causal=marked.get("causal"),
        thorough=bool(_first(marked.get("thorough"), settings.thorough)),
        allow_unhealthy=settings.allow_unhealthy,
        expects_failure=any(map(_may_hold, item.iter_markers("xfail"))),
    )


def _may_hold(mark: pytest.Mark) -> bool:
    # A condition in a text is pytest's to judge; it is given where it is expected to hold.
    conditions = [*mark.args, *(mark.kwargs[k] for k in ("condition",) if k in mark.kwargs)]
    return not conditions or any(map(bool, conditions))


def _ignores_of_markers(item: pytest.Item) -> Iterator[Ignore]:
    for node, mark in item.iter_markers_with_node("initcheck"):
        if "ignore" in mark.kwargs:
            origin = _function_id(item) if node is item else node.nodeid
            yield from _placed(mark.kwargs["ignore"], origin or ".", shared=node is not item)


def _function_id(item: pytest.Item) -> str:
    # A marker speaks for all parameters of its test: it may match with some of them only.
    parameters = getattr(item, "callspec", None)
    nodeid = test_id(item)
    return nodeid.removesuffix(f"[{parameters.id}]") if parameters is not None else nodeid


def _baselines_of_test(
    config: pytest.Config, settings: Settings, wanted: bool | None
) -> Path | None:
    if wanted is False:
        return None
    off_by_ini = settings.baselines is None and config.getoption("--initcheck-baselines") is None
    if wanted and off_by_ini:
        return _below(config.rootpath, DEFAULT_BASELINES)
    return settings.baselines


def test_id(item: pytest.Item) -> str:
    """The id that a test's baselines are kept under: of one test alone, wherever pytest started."""
    nodeid, root = _plain_nodeid(item), item.config.rootpath
    if item.path.is_relative_to(root):
        return nodeid
    # Of two folders that are given, pytest cuts both from the ids below them.
    _, colons, test = nodeid.partition("::")
    try:
        path = Path(os.path.relpath(item.path, root))
    except ValueError:  # On another drive.
        path = item.path
    return path.as_posix() + colons + test


def _plain_nodeid(item: pytest.Item) -> str:
    # Under --dist loadgroup, xdist appends the group to the id: the same test, another name.
    mark = item.get_closest_marker("xdist_group")
    if mark is None:
        return item.nodeid
    group = mark.args[0] if mark.args else mark.kwargs.get("name", "default")
    return item.nodeid.removesuffix(f"@{group}")
