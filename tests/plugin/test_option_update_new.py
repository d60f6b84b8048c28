"""--initcheck-update-new: what is missing is written, and what has changed fails as before."""

from __future__ import annotations

import json

import pytest

TESTS = """
    def test_old(initcheck):
        initcheck.compare("cost", {old})
    def test_new(initcheck):
        initcheck.compare("other", 2.0)
"""


def stored(project):
    tests = json.loads((project.path / "baselines/test_a.json").read_text())["tests"]
    return {name: {k: e["metrics"] for k, e in entries.items()} for name, entries in tests.items()}


@pytest.fixture
def old(project):
    """A project with a baseline of one of its two tests."""
    project.test(test_a=TESTS.format(old=1.0))
    assert project.run("--initcheck-update", "-k", "test_old").ret == 0
    return project


def test_only_what_is_missing_is_written(old, workers):
    old.test(test_a=TESTS.format(old=5.0))
    result = old.run("--initcheck-update-new", *workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "*changed: 'cost' is not as in its baseline*",
            "*1 created, 0 updated, 0 unchanged",
            "*left as they are: 1 test did not pass",
        ]
    )
    assert stored(old) == {
        "test_old": {"cost": {"cost": [1.0]}},
        "test_new": {"other": {"other": [2.0]}},
    }
    old.test(test_a=TESTS.format(old=1.0))
    assert old.run().ret == 0


def test_what_is_recorded_no_more_stays(old):
    before = stored(old)
    old.test(test_a="def test_old(initcheck): initcheck.compare('another', 1.0)")
    result = old.run("--initcheck-update-new")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["note: baselines that no test records any more: *'cost'*"])
    assert stored(old)["test_old"] == before["test_old"] | {"another": {"another": [1.0]}}


def test_a_test_that_passes_within_its_tolerance_is_not_written_anew(old):
    old.test(test_a=TESTS.format(old=1.00005))
    result = old.run("--initcheck-update-new", "-k", "test_old")
    result.assert_outcomes(passed=1, deselected=1)
    assert stored(old) == {"test_old": {"cost": {"cost": [1.0]}}}


def error(result):
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR")]
    return line


def test_both_forms_contradict_each_other(project):
    said = error(project.run("--initcheck-update", "--initcheck-update-new"))
    assert "--initcheck-update and --initcheck-update-new contradict each other" in said


@pytest.mark.parametrize("value", ["new", "all", "changed", "missing"])
def test_a_value_is_answered_with_the_flag(project, value):
    said = error(project.run(f"--initcheck-update={value}"))
    assert "--initcheck-update takes no value" in said
    assert "--initcheck-update-new writes what is new" in said
    assert "--initcheck-update=" not in project.run("--help").stdout.str()


def test_without_baselines_there_is_nothing_to_write(project):
    said = error(project.run("--initcheck-update-new", "--initcheck-baselines=off"))
    assert "--initcheck-update-new and --initcheck-baselines=off contradict" in said


def test_a_reason_for_what_is_not_healthy_may_be_given(project):
    project.test(test_a=TESTS.format(old=1.0))
    assert project.run("--initcheck-update-new", "--initcheck-allow-unhealthy=a trial").ret == 0
    assert set(stored(project)) == {"test_old", "test_new"}


def test_what_is_new_can_be_written_while_the_rest_is_held_exactly(old):
    old.test(test_a=TESTS.format(old=1.00005))
    old.run("--initcheck-update-new", "--initcheck-exact").assert_outcomes(passed=1, failed=1)
    assert set(stored(old)) == {"test_old", "test_new"}
