"""A project inside another one: its baselines are its own, however pytest was started."""

from __future__ import annotations

import pytest

from pytest_initcheck.cli import main

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


def test_one_folder_for_both_is_the_same_from_either(nested, monkeypatch):
    assert nested.run("--initcheck-update", "--initcheck-baselines=all").ret == 0
    monkeypatch.chdir(nested.path / "sub")
    (nested.path / "sub/tests/test_same.py").write_text(TEST.replace("1.0", "2.0"))
    nested.run("--initcheck-baselines=../all").assert_outcomes(failed=1)
    assert nested.run("--initcheck-baselines=../all", "--initcheck-update").ret == 0
    stored = {path.as_posix() for path in (nested.path / "all").rglob("*.json")}
    assert {path.removeprefix(f"{nested.path.as_posix()}/all/") for path in stored} == {
        "tests/test_same.json",
        "sub/tests/test_same.json",
    }
    monkeypatch.chdir(nested.path)
    nested.run("--initcheck-baselines=all").assert_outcomes(passed=2)


def test_packages_that_share_a_folder_do_not_share_baselines(nested, monkeypatch, capsys):
    (nested.path / "pytest.ini").unlink()
    (nested.path / "tests/test_same.py").unlink()
    for name in ("a", "b"):
        (nested.path / name / "tests").mkdir(parents=True)
        (nested.path / name / "pytest.ini").write_text(INI + "initcheck_baselines = ../baselines\n")
        value = TEST.replace("1.0", f"{ord(name)}.0")
        (nested.path / name / "tests/test_same.py").write_text(value)
        monkeypatch.chdir(nested.path / name)
        assert nested.run("--initcheck-update").ret == 0
    for name in ("a", "b"):
        monkeypatch.chdir(nested.path / name)
        nested.run().assert_outcomes(passed=1)
    assert baselines(nested) == [f"baselines/{name}/tests/test_same.json" for name in "ab"]
    capsys.readouterr()
    assert main(["baselines", "list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:3]]
    assert listed == ["../a/tests/test_same.py::test_x", "tests/test_same.py::test_x"]
    assert main(["baselines", "prune"]) == 0
    told = f"its file belongs to another project; prune in {nested.path / 'a'}"
    assert f"kept ../a/tests/test_same.py::test_x: {told}" in capsys.readouterr().out
    assert baselines(nested) == [f"baselines/{name}/tests/test_same.json" for name in "ab"]


def test_an_ini_file_elsewhere_does_not_make_a_second_baseline(nested):
    assert nested.run("tests", "--initcheck-update").ret == 0
    (nested.path / "ci").mkdir()
    (nested.path / "ci/pytest.ini").write_text(INI)
    result = nested.run("-c", "ci/pytest.ini", "tests", "--initcheck-update")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*has baselines below {nested.path} as well*"])
    nested.run("-c", "ci/pytest.ini", "--rootdir=.", "tests").assert_outcomes(passed=1)


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
