"""The adapter to pytest: options, the fixture, and what happens around each test."""

from __future__ import annotations

import functools
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

import pytest

from pytest_initcheck.plugin import hooks, markers, models, options, repro
from pytest_initcheck.plugin.controller import REPORT_ATTRIBUTE, Controller, is_worker

if TYPE_CHECKING:
    from pytest_initcheck.baseline import Baselines
    from pytest_initcheck.plugin.fixture import Initcheck
    from pytest_initcheck.plugin.outcome import TestOutcome
    from pytest_initcheck.session.settings import Scope, Settings

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()
BASELINES: pytest.StashKey[dict[str, Baselines]] = pytest.StashKey()
REPRO: pytest.StashKey[repro.Repro] = pytest.StashKey()
OUTCOME: pytest.StashKey[TestOutcome] = pytest.StashKey()
MNIST_BEFORE: pytest.StashKey[str | None] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare options and ini names."""
    options.add(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the hooks for teams."""
    pluginmanager.add_hookspecs(hooks)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings once; nothing else happens until a test asks for the fixture."""
    config.addinivalue_line("markers", markers.MARKER)
    settings = config.stash[SETTINGS] = options.resolve(config)
    config.stash[BASELINES] = {}
    config.stash[REPRO] = repro.resolve(config)
    models.leave_out_the_rest(config)
    if settings.mnist is not None:
        from pytest_initcheck.data.mnist import use_folder

        config.stash[MNIST_BEFORE] = use_folder(settings.mnist)
    if not is_worker(config):
        config.pluginmanager.register(Controller(config, settings), "initcheck-controller")


def pytest_unconfigure(config: pytest.Config) -> None:
    """A session around this one reads MNIST from where it did."""
    if MNIST_BEFORE in config.stash:
        from pytest_initcheck.data.mnist import use_folder

        use_folder(config.stash[MNIST_BEFORE])


@pytest.fixture
def initcheck(request: pytest.FixtureRequest) -> Initcheck:
    """Diagnose models and experiments; recorded in the report, compared with the baselines."""
    from pytest_initcheck.plugin.fixture import Initcheck
    from pytest_initcheck.plugin.outcome import TestOutcome

    item: pytest.Item = request.node
    settings = markers.for_test(item, item.config.stash[SETTINGS])
    _refuse_foreign(item, settings)
    outcome = item.stash[OUTCOME] = TestOutcome.of(
        settings, item.config.stash[BASELINES], item.config.rootpath
    )
    ask = functools.partial(item.ihook.pytest_initcheck_checks, config=item.config)
    return Initcheck(outcome.recorder, settings, ask, item.config.stash[REPRO])


def _refuse_foreign(item: pytest.Item, settings: Scope) -> None:
    from pytest_initcheck.plugin.homes import fault

    if settings.baselines is not None and item.config.getoption("--initcheck-baselines") is None:
        foreign = fault(item, settings.baselines)
        if foreign:
            pytest.fail(foreign, pytrace=False)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(session: pytest.Session, items: list[pytest.Item]) -> None:
    """Add the models that were named on the command line."""
    items.extend(models.tests(session))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Refuse a marker that says nothing or something wrong."""
    fault = markers.marker_fault(item)
    if fault is not None:
        pytest.fail(fault, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """After the test's own assertions: fail it where a baseline is missing or has changed."""
    __tracebackhide__ = True
    try:
        result = yield
        outcome = item.stash.get(OUTCOME, None)
        if outcome is not None:
            outcome.raise_baseline_problem()
    finally:
        outcome = item.stash.get(OUTCOME, None)
        if outcome is not None:
            outcome.set_properties(item.user_properties)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep the outcome; at the end of the test send what it recorded along with the report."""
    report = yield
    if "torch" in sys.modules:
        from pytest_initcheck.ranks.writer import rank_here

        # A test may leave its process group again.
        rank_here()
    outcome = item.stash.get(OUTCOME, None)
    if outcome is not None:
        outcome.see(report, call)
        if report.when == "teardown":
            # One JSON string: it passes through xdist, and survives the crash of a worker.
            report.__dict__[REPORT_ATTRIBUTE] = outcome.text()
            del item.stash[OUTCOME]
    return report
