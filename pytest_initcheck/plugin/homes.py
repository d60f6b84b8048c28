"""Which project a test belongs to, where pytest runs those of several at once."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

_ALWAYS = ("pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")
_WITH_SECTION = {
    "pyproject.toml": re.compile(r"^\s*\[tool\.pytest\b", re.MULTILINE),
    "tox.ini": re.compile(r"^\[pytest\]", re.MULTILINE),
    "setup.cfg": re.compile(r"^\[tool:pytest\]", re.MULTILINE),
}


def home(path: Path) -> Path | None:
    """The nearest folder above a test file that configures pytest; None where there is none."""
    return next((folder for folder in path.parents if _configures(folder)), None)


@functools.cache
def _configures(folder: Path) -> bool:
    if any((folder / name).is_file() for name in _ALWAYS):
        return True
    return any(
        (folder / name).is_file()
        and section.search((folder / name).read_text(encoding="utf-8", errors="replace"))
        for name, section in _WITH_SECTION.items()
    )


def fault(item: pytest.Item) -> str:
    """Why the test's baselines are not this session's; empty where they are.

    A project that pytest would configure otherwise has baselines of its own. Which of the two it
    is held against must not depend on the folder in which pytest was started.
    """
    root = item.config.rootpath
    if item.path.is_relative_to(root):
        return ""
    own = home(item.path)
    if own is None or own in (root, *root.parents):
        return ""
    return (
        f"{item.path}: lies outside of the rootdir {root}, in a project of its own, {own}, whose "
        "baselines are there; run pytest for it alone, give both an ini file in a folder above "
        "them, or one folder of baselines by --initcheck-baselines=DIR"
    )
