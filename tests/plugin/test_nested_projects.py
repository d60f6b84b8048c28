"""A project inside another one: its baselines are its own, however pytest was started."""

from __future__ import annotations

import pytest

INI = "[pytest]\naddopts = --import-mode=importlib\n"
TEST = "def test_x(initcheck): initcheck.compare('m', 1.0)\n"


@pytest.fixture
def nested(project):
    """A project with a test, and another one, sub, with a test at the same path."""
    for folder in (project.path, project.path / "sub"):
        (folder / "tests").mkdir(parents=True)
        (folder / "tests/test_same.py").write_text(TEST)
        (folder / "pytest.ini").write_text(INI)
    return project


def baselines(nested):
    found = nested.path.rglob("baselines/**/*.json")
    return sorted(path.relative_to(nested.path).as_posix() for path in found)


OWN = "sub/baselines/tests/test_same.json"


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("sub", ()),
        ("sub/tests", ()),
        (".", ("sub",)),
        (".", ("sub/tests/test_same.py::test_x",)),
        ("tests", ("../sub",)),
        (".", ("-c", "sub/pytest.ini", "sub")),
        ("tests", ("--rootdir=../sub", "../sub")),
    ],
)
def test_the_inner_project_has_its_baselines_where_it_is(nested, monkeypatch, folder, words):
    monkeypatch.chdir(nested.path / folder)
    assert nested.run(*words, "--initcheck-update").ret == 0
    assert baselines(nested) == [OWN]
    monkeypatch.chdir(nested.path / "sub")
    nested.run().assert_outcomes(passed=1)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("tests", "sub"),
        ("-c", "pytest.ini", "sub"),
        ("--rootdir=.", "sub"),
        ("--rootdir=.", "-c", "sub/pytest.ini", "sub"),
    ],
)
def test_the_outer_project_does_not_take_it_for_its_own(nested, words):
    result = nested.run(*words, "--initcheck-update")
    outer = words in ((), ("tests", "sub"))
    result.assert_outcomes(passed=int(outer), errors=1)
    result.stdout.fnmatch_lines(
        [f"*lies below the rootdir {nested.path}, in a project of its own, {nested.path / 'sub'}*"]
    )
    assert baselines(nested) == ["baselines/tests/test_same.json"] * outer


def test_one_folder_for_both_may_be_named(nested):
    assert nested.run("--initcheck-update", "--initcheck-baselines=all").ret == 0
    nested.run("--initcheck-baselines=all").assert_outcomes(passed=2)
    nested.run("--initcheck-baselines=off").assert_outcomes(passed=2)


@pytest.mark.parametrize(("first", "second"), [("sub", "."), (".", "sub")])
def test_without_an_ini_file_two_starts_do_not_make_two_baselines(
    nested, monkeypatch, first, second
):
    for folder in (nested.path, nested.path / "sub"):
        (folder / "pytest.ini").unlink()
    arguments = ("--import-mode=importlib", "--initcheck-update")
    (nested.path / "tests/test_same.py").unlink()
    monkeypatch.chdir(nested.path / first)
    assert nested.run(*arguments).ret == 0
    before = baselines(nested)
    monkeypatch.chdir(nested.path / second)
    result = nested.run(*arguments)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*has baselines below {nested.path / first} as well*"])
    assert baselines(nested) == before
    monkeypatch.chdir(nested.path / first)
    nested.run("--import-mode=importlib").assert_outcomes(passed=1)
