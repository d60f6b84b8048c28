"""What the habits name is there: sessions, hooks, workflows, versions, policies."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted((ROOT / "benchmarks").glob("*.py"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FILES = [
    *WORKFLOWS,
    *(ROOT / name for name in (".pre-commit-config.yaml", "noxfile.py", "SECURITY.md")),
    *(ROOT / name for name in ("CITATION.cff", "CONTRIBUTING.md", "CHANGELOG.md", ".ci/run")),
]


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sessions() -> dict[str, tuple[str, ...]]:
    """The sessions of the noxfile, each with its Pythons."""
    tree = ast.parse(text("noxfile.py"))
    values = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, (ast.Tuple, ast.Dict))
    }
    found = {}
    for node in tree.body:
        decorated = isinstance(node, ast.FunctionDef) and node.decorator_list
        if decorated and "nox.session" in ast.unparse(node.decorator_list[0]):
            pythons = re.search(r"python=(\w+)", ast.unparse(node.decorator_list[0]))
            found[node.name] = values[pythons[1]] if pythons else ()
    return found


def test_nox_has_the_sessions_that_are_promised():
    wanted = {"lint", "types", "tests", "oldest", "libraries", "docs", "clusters", "site"}
    wanted |= {"benchmarks", "coverage", "mutation"}
    assert set(sessions()) == wanted


def test_versions_agree():
    project = text("pyproject.toml")
    named = re.findall(r'"Programming Language :: Python :: (3\.\d+)"', project)
    assert list(sessions()["tests"]) == named
    matrices = re.findall(r"python: \[(.*)\]", text(".github/workflows/checks.yml"))
    in_workflow = [re.findall(r'"(3\.\d+)"', matrix) for matrix in matrices]
    assert in_workflow == [list(sessions()[name]) for name in ("types", "tests", "oldest")]
    version = re.search(r'^version = "(.*)"', project, re.MULTILINE)
    assert version
    assert f"version: {version[1]}" in text("CITATION.cff")


def test_the_oldest_are_those_that_are_allowed():
    project = text("pyproject.toml")
    oldest = set(re.findall(r'"([\w-]+==[\d.]+)"', text("noxfile.py")))
    assert {one.replace("==", ">=") for one in oldest} <= set(re.findall(r'"(.*?)"', project))
    needed = re.search(r"^dependencies = \[(.*?)\]", project, re.MULTILINE | re.DOTALL)
    assert needed
    assert set(re.findall(r'"(.*?)>=', needed[1])) <= {one.partition("==")[0] for one in oldest}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_do_no_more_than_read(path):
    yaml = path.read_text(encoding="utf-8")
    assert yaml.count("permissions:") == 1
    assert "permissions:\n  contents: read\n" in yaml
    assert "secrets." not in yaml
    assert "pull_request_target" not in yaml
    assert yaml.count("uses: actions/checkout") == yaml.count("persist-credentials: false")
    listed = [name for line in re.findall(r"session: \[(.*)\]", yaml) for name in line.split(", ")]
    assert {*re.findall(r"nox -s (\w+)", yaml), *listed} <= set(sessions())


def test_hooks_run_what_is_installed():
    config = text(".pre-commit-config.yaml")
    assert re.findall(r"^  - repo: (\w+)", config, re.MULTILINE) == ["local"]
    assert config.count("- id:") == config.count("language: system") == 4


def test_a_session_of_nox_runs_files_that_are_there():
    named = re.findall(r'"(benchmarks/\w+\.py)"', text("noxfile.py"))
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def offered(path: Path) -> set[str]:
    """The names that a module has after it was imported."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {one.asname or one.name for one in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmarks_take_from_each_other_what_is_there(path):
    beside = {other.stem: other for other in BENCHMARKS}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in beside:
            assert {one.name for one in node.names} <= offered(beside[node.module])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="tomllib is new in 3.11")
def test_habits_are_small():
    import tomllib

    extras = tomllib.loads(text("pyproject.toml"))["project"]["optional-dependencies"]
    assert {name.partition(">")[0] for name in extras["habits"]} == {"nox", "pre-commit"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_host_of_a_registry_and_no_folder_of_a_machine(path):
    # Put together here, so that this file does not name them either.
    words = ["py" + "pi", "index-" + "url", "/" + "work/", "/" + "root/", "/" + "home/"]
    content = path.read_text(encoding="utf-8")
    assert [word for word in words if word in content] == []


def test_the_changelog_says_what_is_public():
    policy = text("CHANGELOG.md").partition("## What is public")[2].partition("\n## ")[0].casefold()
    for word in (
        "`__all__`",
        "fixture",
        "options",
        "marker",
        "ini",
        "hook",
        "commands",
        "run.json",
        "`pytest_initcheck.testing`",
        "evidence",
        "entry points",
        "deprecat",
    ):
        assert word in policy, word


def test_every_decision_is_listed_and_has_its_three_parts():
    folder = ROOT / "docs" / "decisions"
    pages = sorted(path for path in folder.glob("*.md") if path.stem != "README")
    assert len(pages) >= 10
    index = (folder / "README.md").read_text(encoding="utf-8")
    for page in pages:
        content = page.read_text(encoding="utf-8")
        title = content.splitlines()[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in index
        for part in ("Context", "Decision", "Consequences"):
            assert f"**{part}.**" in content, page.name
        assert len(content.splitlines()) < 40, page.name
