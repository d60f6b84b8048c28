"""All that knows pytest: the hooks, the options, the fixture."""

from __future__ import annotations

from pytest_initcheck.plugin.adapter import (
    SETTINGS,
    initcheck,
    pytest_addhooks,
    pytest_addoption,
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_runtest_call,
    pytest_runtest_makereport,
    pytest_runtest_setup,
    pytest_unconfigure,
)

__all__ = [
    "SETTINGS",
    "initcheck",
    "pytest_addhooks",
    "pytest_addoption",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_unconfigure",
]
