"""--initcheck-mnist, initcheck_mnist and INITCHECK_MNIST: where the full set is."""

from __future__ import annotations

import os

import pytest

SHOWS = """
    import os
    def test_shows():
        print("folder:", os.environ.get("INITCHECK_MNIST"))
        assert os.environ.get("INITCHECK_MNIST") == {expected!r}
"""


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv("INITCHECK_MNIST", raising=False)


def test_nothing_given(project):
    project.test(test_a=SHOWS.format(expected=None))
    assert project.run().ret == 0


def test_option_is_relative_to_where_pytest_was_called(project):
    project.test(test_a=SHOWS.format(expected=str(project.path / "data")))
    assert project.run("--initcheck-mnist=data").ret == 0
    assert "INITCHECK_MNIST" not in os.environ


def test_ini_is_relative_to_the_root(project, monkeypatch):
    project.test(test_a=SHOWS.format(expected=str(project.path / "data")))
    project.pytester.makeini("[pytest]\ninitcheck_mnist = data")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    assert project.run("..").ret == 0


def test_option_goes_before_ini_and_environment(project, workers, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", "/variable")
    project.test(test_a=SHOWS.format(expected="/option"))
    project.pytester.makeini("[pytest]\ninitcheck_mnist = /ini")
    assert project.run("--initcheck-mnist=/option", *workers).ret == 0
    assert os.environ["INITCHECK_MNIST"] == "/variable"


def test_ini_goes_before_environment(project, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", "/variable")
    project.test(test_a=SHOWS.format(expected="/ini"))
    project.pytester.makeini("[pytest]\ninitcheck_mnist = /ini")
    assert project.run().ret == 0
    assert os.environ["INITCHECK_MNIST"] == "/variable"


def test_environment_alone(project, monkeypatch):
    monkeypatch.setenv("INITCHECK_MNIST", "/variable")
    project.test(test_a=SHOWS.format(expected="/variable"))
    assert project.run().ret == 0


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
