"""CONTRIBUTING.md: its recipes are added to a copy of the repository, and their tests run there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"^```(python|diff)\n# (\S+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
COPIED = ("pytest_initcheck", "benchmarks", "tests", "conftest.py", "pyproject.toml")
BLOCKS = BLOCK.findall(PAGE)
TESTS = [name for _, name, _ in BLOCKS if name.startswith("tests/")]


def changed(text: str, diff: str) -> str:
    """The text after a diff without line numbers: "+" goes below the line before it."""
    lines, at = text.splitlines(), 0
    for line in diff.splitlines():
        kind, content = line[0], line[1:]
        if kind == "+":
            lines.insert(at, content)
            at += 1
            continue
        assert lines.count(content) == 1, f"{content!r} is not there once"
        at = lines.index(content)
        if kind == "-":
            del lines[at]
        else:
            at += 1
    return "\n".join(lines) + "\n"


def write(root: Path) -> None:
    """All that the page shows, in a copy of the repository."""
    for name in COPIED:
        path = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        copy = shutil.copytree if path.is_dir() else shutil.copy
        copy(path, root / name, **({"ignore": ignore} if path.is_dir() else {}))
    for kind, name, body in BLOCKS:
        file = root / name
        if kind == "diff":
            file.write_text(changed(file.read_text(encoding="utf-8"), body), encoding="utf-8")
        else:
            assert not file.exists(), f"{name} is there already"
            file.write_text(body, encoding="utf-8")


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, forked_python):
    """The outcome of every test of the recipes, by its file; all of them run together, once."""
    root = tmp_path_factory.mktemp("recipes")
    write(root)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "INITCHECK"))}
    command = [forked_python, "-m", "pytest", "-p", "no:cacheprovider", "--junit-xml=out.xml"]
    done = subprocess.run(
        [*command, "-o", "junit_family=xunit1", "--initcheck-baselines=off", *TESTS],
        cwd=root,
        env=kept | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (root / "out.xml").exists(), done.stdout + done.stderr
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(root / "out.xml").iter("testcase"):
        found.setdefault(case.get("file", ""), []).extend(child.text or "" for child in case)
    return found


@pytest.mark.parametrize("file", TESTS)
def test_a_recipe_works(outcomes, file):
    assert outcomes[file] == []


def test_every_recipe_has_a_test_and_is_well_written():
    recipes = re.findall(r"^## (Add .*)$", PAGE, re.MULTILINE)
    assert len(recipes) == 5
    assert len(TESTS) >= 4
    python = [(name, body) for kind, name, body in BLOCKS if kind == "python"]
    for name, body in python:
        compile(body, name, "exec")
        assert max(map(len, body.splitlines())) <= 100, name


def test_every_place_that_the_table_names_is_there():
    table = PAGE.partition("| what | where |")[2].partition("\n\n")[0]
    for name in re.findall(r"`((?:pytest_initcheck|tests|benchmarks|docs)/[\w./]*)`", table):
        assert (ROOT / name).exists(), name


def test_a_diff_that_does_not_fit_is_told():
    assert changed("a\nb\n", " a\n+x\n-b\n+y\n") == "a\nx\ny\n"
    with pytest.raises(AssertionError, match="'c' is not there once"):
        changed("a\nb\n", " c\n+x\n")
