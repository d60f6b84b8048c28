"""--initcheck-mnist, initcheck_mnist and INITCHECK_MNIST: where the full set is."""

from __future__ import annotations

import os

import pytest
from support.mnist import tiny

from pytest_initcheck.data import load_mnist

# Read once while the file is collected, and once in the test, as experiments do.
LOADS = """
    from pytest_initcheck.data import load_mnist

    EARLY = load_mnist().origin

    def test_loads(initcheck):
        assert [EARLY, load_mnist().origin, initcheck.mnist().origin] == 3 * [{expected!r}]
"""
INI = "[pytest]\ninitcheck_mnist = ini"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("INITCHECK_MNIST", raising=False)


@pytest.fixture
def sets(models):
    """A project with three small sets, each in a folder of its own."""
    for name in ("option", "ini", "variable"):
        tiny(models.path / name)
    return models


def test_nothing_given(models):
    models.test(test_a=LOADS.format(expected="embedded subset"))
    assert models.run().ret == 0


def test_option_is_relative_to_where_pytest_was_called(sets, monkeypatch):
    sets.test(test_a=LOADS.format(expected="folder option"))
    (sets.path / "below").mkdir()
    monkeypatch.chdir(sets.path / "below")
    assert sets.run("--initcheck-mnist=../option", "..").ret == 0


def test_what_is_given_to_a_session_ends_with_it(sets):
    sets.test(test_a=LOADS.format(expected="folder option"))
    assert sets.run("--initcheck-mnist=option").ret == 0
    assert load_mnist().origin == "embedded subset"
    assert "INITCHECK_MNIST" not in os.environ


def test_ini_is_relative_to_the_root(sets, monkeypatch):
    sets.test(test_a=LOADS.format(expected="folder ini"))
    sets.pytester.makeini(INI)
    (sets.path / "below").mkdir()
    monkeypatch.chdir(sets.path / "below")
    assert sets.run("..").ret == 0


def test_option_goes_before_ini_and_environment(sets, workers, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", str(sets.path / "variable"))
    sets.test(test_a=LOADS.format(expected="folder option"))
    sets.pytester.makeini(INI)
    assert sets.run("--initcheck-mnist=option", *workers).ret == 0


def test_ini_goes_before_environment(sets, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", str(sets.path / "variable"))
    sets.test(test_a=LOADS.format(expected="folder ini"))
    sets.pytester.makeini(INI)
    assert sets.run().ret == 0
    assert load_mnist().origin == "folder variable"


def test_environment_alone(sets, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", str(sets.path / "variable"))
    sets.test(test_a=LOADS.format(expected="folder variable"))
    assert sets.run().ret == 0


def test_folder_without_the_set_is_one_clear_error(models):
    models.test(
        test_a="""
        def test_loads(initcheck):
            initcheck.mnist()
        """
    )
    result = models.run("--initcheck-mnist=nowhere")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*DataError: *nowhere*"])
    assert "mnist.py" not in result.stdout.str()


def test_without_a_folder_the_subset_is_loaded(models):
    models.test(
        test_a="""
        def test_loads(initcheck):
            assert len(initcheck.mnist().train[0]) == 5000
        """
    )
    assert models.run().ret == 0


def test_empty_folder_is_refused(project):
    result = project.run("--initcheck-mnist=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --initcheck-mnist is empty*"])
