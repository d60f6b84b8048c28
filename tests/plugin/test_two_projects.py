"""Two projects in one run: their baselines never mix, wherever pytest was started."""

from __future__ import annotations

import json

import pytest

from pytest_initcheck.plugin.homes import home

TEST = "def test_x(initcheck): initcheck.compare('m', {value})\n"


@pytest.fixture
def two(project):
    """Folders a and b with tests at the same path; a configures pytest."""
    for name, value in (("a", 1.0), ("b", 2.0)):
        (project.path / name / "tests").mkdir(parents=True)
        (project.path / name / "tests/test_same.py").write_text(TEST.format(value=value))
    (project.path / "a/pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    return project


def baselines(two):
    return sorted(p.relative_to(two.path).as_posix() for p in two.path.rglob("baselines/**/*.json"))


def test_tests_outside_of_the_root_have_baselines_of_their_own(two):
    assert two.run("a", "b", "--initcheck-update").ret == 0
    assert baselines(two) == [
        "a/baselines/_outside/b/tests/test_same.json",
        "a/baselines/tests/test_same.json",
    ]
    two.run("a", "b").assert_outcomes(passed=2)
    stored = json.loads((two.path / "a/baselines/_outside/b/tests/test_same.json").read_text())
    assert stored["path"] == "../b/tests/test_same.py"


def test_a_project_of_its_own_is_not_held_against_anothers_baselines(two):
    (two.path / "b/pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    for folder in ("a", "b"):
        assert two.run(folder, "--initcheck-update").ret == 0
    before = {path: (two.path / path).read_bytes() for path in baselines(two)}
    assert list(before) == ["a/baselines/tests/test_same.json", "b/baselines/tests/test_same.json"]
    result = two.run("a", "b", "--initcheck-update")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*lies outside of the rootdir*, in a project of its own, *"])
    assert {path: (two.path / path).read_bytes() for path in baselines(two)} == before
    two.run("a", "b", "--initcheck-baselines=off").assert_outcomes(passed=2)


def test_the_hint_leads_to_the_same_file(two, monkeypatch):
    result = two.run("a", "b")
    (line,) = {line for line in result.outlines if line.startswith("create: pytest ../b")}
    monkeypatch.chdir(two.path / "a")
    assert two.run(*line.split()[2:]).ret == 0
    assert baselines(two) == ["a/baselines/_outside/b/tests/test_same.json"]


def test_the_folder_in_which_pytest_starts_does_not_matter(two, monkeypatch):
    assert two.run("a", "--initcheck-update").ret == 0
    for folder, words in (("a", ()), ("a/tests", ()), (".", ("a/tests/test_same.py",))):
        monkeypatch.chdir(two.path / folder)
        two.run(*words).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("name", "text", "configures"),
    [
        ("pytest.ini", "", True),
        ("pyproject.toml", "[project]\n[tool.pytest.ini_options]\n", True),
        ("pyproject.toml", "[project]\nname = 'tool.pytest'\n", False),
        ("tox.ini", "[tox]\n[pytest]\n", True),
        ("tox.ini", "[tox]\n", False),
        ("setup.cfg", "[tool:pytest]\n", True),
    ],
)
def test_what_makes_a_folder_a_project(tmp_path, name, text, configures):
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer/pytest.ini").write_text("")
    (tmp_path / "outer/own/tests").mkdir(parents=True)
    (tmp_path / "outer/own" / name).write_text(text)
    found = home(tmp_path / "outer/own/tests/test_x.py")
    assert found == tmp_path / ("outer/own" if configures else "outer")
