"""The marker and what holds for one test: command line over marker over ini file over default."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_initcheck.plugin import selecting
from pytest_initcheck.plugin.faults import ignore_fault, select_fault
from pytest_initcheck.plugin.options import (
    DEFAULT_BASELINES,
    first,
    placed,
    tolerance_fault,
    tolerances,
)
from pytest_initcheck.plugin.paths import below
from pytest_initcheck.plugin.selecting import PathRule
from pytest_initcheck.session.settings import DEVICES, Scope, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_initcheck.ignores import Ignore

MARKER = (
    "initcheck(*, baseline=True, rtol=None, atol=None, least=None, tolerance=(), device=None, "
    "ignore=(), causal=None, thorough=None, variant='', select=None, strict=None): how this test "
    "is diagnosed and compared; baseline=False switches the comparison off, rtol and atol replace "
    "the tolerances of the baseline, tolerance those of some values, such as 'metric accuracy: "
    "0.02', least is the share below which a change is a note, device is 'cpu', 'cuda' or 'auto', "
    "ignore lists findings that do not count, such as 'IC201 encoder.*: reason', causal says "
    "whether no output may depend on later positions, thorough=True also asks whether the model "
    "can fit its batch, select lists the rules that count, such as 'IC1* IC201', strict=True "
    "takes warnings for errors, variant is the environment whose baselines count, such as 'cuda' "
    "or 'cpu torch 2.14'."
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


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _expects(holds: Callable[[Any], bool], what: str) -> Callable[[Any], str]:
    return lambda value: "" if holds(value) else f"must be {what}"


_ARGUMENTS: dict[str, Callable[[Any], str]] = {
    "baseline": _expects(_is_bool, "True or False"),
    "rtol": _expects(_is_tolerance, "a number of at least 0"),
    "atol": _expects(_is_tolerance, "a number of at least 0"),
    "least": _expects(_is_tolerance, "a number of at least 0"),
    "tolerance": tolerance_fault,
    "device": _expects(_is_device, "'cpu', 'cuda' or 'auto'"),
    "ignore": ignore_fault,
    "causal": _expects(_is_choice, "True, False or None"),
    "thorough": _expects(_is_choice, "True, False or None"),
    "select": lambda value: "" if value is None else select_fault(value),
    "strict": _expects(_is_choice, "True, False or None"),
    "variant": _expects(_is_text, "a text, such as 'cuda' or 'cpu torch 2.14'"),
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
    rules = selecting.rules_for(item.config, test_id(item))
    by_path = {rule.word: rule.value for rule in rules}
    device = first(item.config.getoption("--initcheck-device"), marked.get("device"))
    return Scope(
        nodeid=test_id(item),
        baselines=_baselines_of_test(item.config, settings, marked.get("baseline")),
        update=settings.update,
        device=first(device, settings.device),
        rtol=marked.get("rtol"),
        atol=marked.get("atol"),
        report=settings.report,
        ignores=(*_ignores_of_markers(item), *_ignores_of_path(rules), *settings.ignores),
        causal=marked.get("causal"),
        thorough=bool(
            first(marked.get("thorough"), selecting.is_on(by_path, "thorough"), settings.thorough)
        ),
        allow_unhealthy=settings.allow_unhealthy,
        exact=settings.exact,
        least=first(marked.get("least"), settings.least),
        tolerance=(*tolerances(marked.get("tolerance")), *settings.tolerance),
        expects_failure=any(map(_may_hold, item.iter_markers("xfail"))),
        variant=marked.get("variant", ""),
        selection=selecting.selection(
            item.config, rules, marked.get("select"), marked.get("strict")
        ),
        backend=settings.backend,
    )


def _may_hold(mark: pytest.Mark) -> bool:
    # A condition in a text is pytest's to judge; it is given where it is expected to hold.
    conditions = [*mark.args, *(mark.kwargs[k] for k in ("condition",) if k in mark.kwargs)]
    return not conditions or any(map(bool, conditions))


def _ignores_of_markers(item: pytest.Item) -> Iterator[Ignore]:
    for node, mark in item.iter_markers_with_node("initcheck"):
        if "ignore" in mark.kwargs:
            origin = _function_id(item) if node is item else node.nodeid
            yield from placed(mark.kwargs["ignore"], origin or ".", shared=node is not item)


def _ignores_of_path(rules: list[PathRule]) -> Iterator[Ignore]:
    for rule in rules:
        if rule.word == "ignore":
            yield from placed(rule.value, selecting.PER_PATH, shared=True)


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
        return below(config.rootpath, DEFAULT_BASELINES)
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
