"""The site of docs/: what builds it is named once; where mkdocs is, it builds without a warning."""

from __future__ import annotations

import ast
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def nav() -> list[str]:
    return re.findall(r"^ +- [^:\n]+: (\S+\.md)$", text("mkdocs.yml"), re.MULTILINE)


def test_make_installs_what_the_extra_names():
    extra = re.search(r"^docs = \[(.*?)^\]", text("pyproject.toml"), re.MULTILINE | re.DOTALL)
    made = re.search(r"^DOCS_NEEDS := (.*)$", text("Makefile"), re.MULTILINE)
    assert extra
    assert made
    assert re.findall(r'"(.*?)"', extra[1]) == re.findall(r"'(.*?)'", made[1])


def test_every_page_has_its_place():
    docs = ROOT / "docs"
    pages = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    lacking = {page for page in pages - set(nav()) if not page.startswith("decisions/")}
    assert not lacking, f"mkdocs.yml: nav lacks {sorted(lacking)}"


def unknown_arguments(source: str) -> list[str]:
    """What docstrings list under "Args:" and the signature lacks; of a class, its fields."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        section = (ast.get_docstring(node) or "").partition("Args:\n")[2].partition("\n\n")[0]
        listed = re.findall(r"^    ([^\s:][^:]*): ", section, re.MULTILINE)
        if isinstance(node, ast.FunctionDef):
            taken = node.args
            given = [taken.vararg, taken.kwarg, *taken.posonlyargs, *taken.args, *taken.kwonlyargs]
            known = {one.arg for one in given if one}
        else:
            known = {word.id for word in ast.walk(node) if isinstance(word, ast.Name)}
            known |= {word.arg for word in ast.walk(node) if isinstance(word, ast.arg)}
        found += [f"{node.name}: {name}" for name in listed if name.lstrip("*") not in known]
    return found


def test_the_reference_lists_arguments_that_there_are():
    files = sorted((ROOT / "pytest_initcheck").rglob("*.py"))
    lacking = {path.name: unknown_arguments(path.read_text(encoding="utf-8")) for path in files}
    assert not {name: names for name, names in lacking.items() if names}
    assert unknown_arguments('def f(a):\n    """A.\n\n    Args:\n        a, b: c.\n    """') == [
        "f: a, b"
    ]


def test_a_site_without_fonts_and_scripts_of_others():
    assert "font: false" in text("mkdocs.yml")
    assert not re.findall(r"https?://", text("mkdocs.yml"))


@pytest.fixture(scope="module")
def hooks():
    pytest.importorskip("mkdocs", reason="mkdocs is not installed: make docs has its own")
    return runpy.run_path(str(ROOT / "docs" / "site" / "hooks.py"))


@pytest.mark.parametrize(
    ("page", "link", "made"),
    [
        ("index.md", "docs/ci.md#drift", "ci.md#drift"),
        ("ci.md", "../examples/ci/gitlab-ci.yml", "files/examples/ci/gitlab-ci.yml"),
        ("how-to/plain.md", "../ci.md", "../ci.md"),
        ("decisions/01.md", "../../CONTRIBUTING.md", "../project/contributing.md"),
        ("project/changelog.md", "docs/watch.md", "../watch.md"),
    ],
)
def test_a_link_of_the_repository_becomes_one_of_the_site(hooks, page, link, made):
    convert = hooks["_with_links"]
    assert convert(f"see [it]({link}).", page) == f"see [it]({made})."
    assert convert(f"```\n[it]({link})\n```", page) == f"```\n[it]({link})\n```"


@pytest.mark.slow
def test_it_builds_without_a_warning(hooks, tmp_path):
    pytest.importorskip("material", reason="mkdocs-material is not installed")
    pytest.importorskip("mkdocstrings", reason="mkdocstrings is not installed")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = (tmp_path / "reference" / "python.html").read_text(encoding="utf-8")
    for name in hooks["public_names"]("pytest_initcheck"):
        assert f'id="pytest_initcheck.{name}"' in reference
