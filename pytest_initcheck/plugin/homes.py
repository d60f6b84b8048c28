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


def forget() -> None:
    """Read the ini files anew, as the next run in one process has to."""
    _configures.cache_clear()


def fault(item: pytest.Item, baselines: Path) -> str:
    """Why the test's baselines are not this session's; empty where they are.

    A project that pytest would configure otherwise has baselines of its own. Which of the two it
    is held against must not depend on the folder in which pytest was started.
    """
    root, own = item.config.rootpath, home(item.path)
    if own is not None and own not in (root, *root.parents):
        return _foreign(item.path, root, own)
    other = _other_place(item.path, root, baselines)
    if other is None:
        return ""
    return (
        f"{item.path}: has baselines below {other} as well, where the rootdir of another run was; "
        f"this one's is {root}; keep those of one of the two, and give that folder an ini file "
        "with a section for pytest, or name the baselines by --initcheck-baselines=DIR"
    )


def _foreign(path: Path, root: Path, own: Path) -> str:
    where, more = f"below the rootdir {root}", ""
    if not path.is_relative_to(root):
        where = f"outside of the rootdir {root}"
        more = " give both an ini file in a folder above them,"
    return (
        f"{path}: lies {where}, in a project of its own, {own}, whose baselines are there; run "
        f"pytest for it alone,{more} or give one folder of baselines by --initcheck-baselines=DIR"
    )


def _other_place(path: Path, root: Path, baselines: Path) -> Path | None:
    """The folder, other than the rootdir, whose baselines hold those of this test file too."""
    from pytest_initcheck.baseline.places import file_of
    from pytest_initcheck.plugin.options import DEFAULT_BASELINES

    for folder in path.parents:
        known = folder / DEFAULT_BASELINES
        file = known / file_of(path.relative_to(folder).as_posix())
        if folder != root and known != baselines and file.is_file():
            return folder
    return None
