"""For those who write checks of their own: what it takes to test them.

``judged`` runs one check on one model. ``assert_complete`` and ``assert_silent`` hold a check
against what every check owes its users: rules that explain themselves, and silence on
``sound_starts``. ``Project`` is a small project in a folder of its own that goes through
create, pass, change, fail, accept, pass; the fixture ``initcheck_project`` makes one. For it, the
conftest.py of the rootdir says ``pytest_plugins = ["pytester", "pytest_initcheck.testing"]``.
"""

from __future__ import annotations

import pytest

from pytest_initcheck.testing.judging import (
    Start,
    assert_complete,
    assert_silent,
    judged,
    sound_starts,
)
from pytest_initcheck.testing.project import Project, warm

__all__ = [
    "Project",
    "Start",
    "assert_complete",
    "assert_silent",
    "initcheck_project",
    "judged",
    "sound_starts",
]


@pytest.fixture(scope="session")
def _initcheck_warm() -> None:
    # Of the session, so that it comes before every pytester, which forgets what comes after it.
    warm()


@pytest.fixture
def initcheck_project(_initcheck_warm: None, request: pytest.FixtureRequest) -> Project:
    """A `Project` in a folder of its own."""
    try:
        return Project(request.getfixturevalue("pytester"))
    except pytest.FixtureLookupError:
        advice = 'pytest_plugins = ["pytester", "pytest_initcheck.testing"]'
        pytest.fail(f"initcheck_project needs pytester; in conftest.py: {advice}", pytrace=False)
