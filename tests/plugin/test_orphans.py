"""A full run tells of baselines whose tests are gone; a part of a run does not."""

from __future__ import annotations

import pytest

NOTE = "note: baselines of tests that are gone: *"
ONE = """
    import pytest
    def test_kept(initcheck): initcheck.compare("m", 1.0)
    def test_{name}(initcheck): initcheck.compare("m", 2.0)
    @pytest.mark.parametrize("k", {parameters})
    def test_many(initcheck, k): initcheck.compare("m", 3.0)
"""


@pytest.fixture
def renamed(project):
    """A project in which a test was renamed, a parameter went, and a test file too."""
    project.pytester.makeini("[pytest]")
    project.test(
        test_a=ONE.format(name="old", parameters=[1, 2]),
        test_b=ONE.format(name="b", parameters=[1]),
    )
    assert project.run("--initcheck-update").ret == 0
    project.run().stdout.no_fnmatch_line(NOTE)
    project.test(test_a=ONE.format(name="new", parameters=[1]))
    (project.path / "test_b.py").unlink()
    return project


def test_a_full_run_tells_what_is_gone(renamed, workers):
    result = renamed.run(*workers)
    result.stdout.fnmatch_lines(
        ["note: baselines of tests that are gone: test_a.py::test_old, test_b.py::* and 1 more; *"]
    )
    (note,) = [line for line in result.outlines if line.startswith("note: baselines of tests")]
    assert "initcheck baselines prune" in note
    assert "test_a.py::test_many[2]" not in note, "it may be another machine's"


@pytest.mark.parametrize(
    "words", [["-k", "kept"], ["-m", "not slow"], ["test_a.py"], ["test_a.py::test_kept"]]
)
def test_a_part_of_the_tests_tells_nothing(renamed, words):
    renamed.run(*words).stdout.no_fnmatch_line(NOTE)


def test_what_is_deselected_otherwise_tells_nothing(renamed):
    renamed.pytester.makeconftest(
        "def pytest_collection_modifyitems(config, items):\n"
        "    config.hook.pytest_deselected(items=items[1:])\n"
        "    del items[1:]\n"
    )
    result = renamed.run()
    result.assert_outcomes(passed=1, deselected=2)
    result.stdout.no_fnmatch_line(NOTE)


def test_what_cannot_be_collected_tells_nothing(renamed):
    renamed.test(test_c="import a_module_that_is_not_there")
    result = renamed.run("--continue-on-collection-errors")
    assert result.ret == 1
    result.stdout.no_fnmatch_line(NOTE)
