"""The half of ``initcheck mutate`` that runs inside of pytest: plants, and notes the outcomes.

It is loaded by ``-p pytest_initcheck.plugin.planting`` and by nothing else.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_initcheck import files

NONE = "none"
_PROPERTY = "initcheck-planted"


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options that ``initcheck mutate`` passes."""
    group = parser.getgroup("initcheck mutate")
    group.addoption("--initcheck-plant", default=NONE, help="the fault to plant")
    group.addoption("--initcheck-planted", default="", help="where the outcomes go")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Plant from here on."""
    config.pluginmanager.register(_Outcomes(config), "initcheck-planting")


class _Outcomes:
    """What became of each test; with pytest-xdist the controller notes, and the workers plant."""

    def __init__(self, config: pytest.Config) -> None:
        self._file: str = config.getoption("--initcheck-planted")
        self._fault: str = config.getoption("--initcheck-plant")
        self._tests: dict[str, str] = {}
        self._planted = 0
        self._stack = ExitStack()
        self._config = config
        self._now: Any = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self._fault != NONE:
            from pytest_initcheck.mutation import FAULTS, planted

            fault = next(fault for fault in FAULTS if fault.name == self._fault)
            self._now = self._stack.enter_context(planted(fault))

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self) -> Iterator[None]:
        outcome: Any = yield
        report = outcome.get_result()
        if self._now is not None:
            report.user_properties.append((_PROPERTY, self._now.planted))
            self._now.planted = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        counts = [value for name, value in report.user_properties if name == _PROPERTY]
        self._planted += sum(value for value in counts if isinstance(value, int))
        if report.failed:
            self._tests[report.nodeid] = "failed"
        elif report.when == "call":
            self._tests.setdefault(report.nodeid, "skipped" if report.skipped else "passed")

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self) -> None:
        self._stack.close()
        if self._file and not hasattr(self._config, "workerinput"):
            told = {"tests": self._tests, "planted": self._planted}
            files.replace(Path(self._file), json.dumps(told))
