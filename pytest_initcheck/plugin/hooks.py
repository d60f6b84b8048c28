"""The hooks that the plugin offers to other plugins and to a team's conftest.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest


def pytest_initcheck_checks(config: pytest.Config) -> list[Any] | None:
    """Checks of a team's own, run after those of the package in every diagnosis.

    Each is an object with ``name: str`` and ``run(evidence) -> Iterable[Finding]``, as those in
    ``pytest_initcheck.checks``. Called for each test that diagnoses a model, so that a check may
    keep state; a conftest.py speaks for the tests below its folder.
    """
    return None
