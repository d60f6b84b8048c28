"""initcheck_tolerance and initcheck_least, in the ini file and on the marker."""

from __future__ import annotations

import pytest

TEST = """
    import pytest
    {mark}
    def test_metric(initcheck):
        initcheck.compare("m", {{"accuracy": [{value}]}})
"""
TWO = """
    def test_near(initcheck):
        initcheck.compare("m", {{"accuracy": [{near}]}})
    def test_far(initcheck):
        initcheck.compare("m", {{"accuracy": [{far}]}})
"""


def run(models, value, *options, mark="", ini=""):
    models.test(test_a=TEST.format(mark="", value=0.9))
    assert models.run("--initcheck-update").ret == 0
    models.test(test_a=TEST.format(mark=mark, value=value))
    if ini:
        (models.path / "pytest.ini").write_text(f"[pytest]\n{ini}\n")
    return models.run(*options)


def test_the_ini_file_widens_one_metric(project, workers):
    project.test(test_a=TWO.format(near=0.9, far=0.9))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=TWO.format(near=0.905, far=0.93))
    project.pytester.makeini("[pytest]\ninitcheck_tolerance = metric acc*: 0.02")
    result = project.run(*workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_a.py::test_far*"])


def test_another_name_is_not_meant(models):
    run(models, 0.905, ini="initcheck_tolerance = metric loss: 0.02").assert_outcomes(failed=1)


def test_the_marker_comes_before_the_ini_file(models):
    mark = '@pytest.mark.initcheck(tolerance="metric accuracy: 0.001")'
    result = run(models, 0.905, mark=mark, ini="initcheck_tolerance = metric acc*: 0.02")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*metric accuracy: 0.905, baseline 0.9, allowed ± 0.0009*"])


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        (
            "initcheck_tolerance = accuracy: 0.02",
            "*'accuracy: 0.02': write *metric PATTERN: SHARE*",
        ),
        ("initcheck_tolerance = metric a: much", "*'metric a: much': write *"),
        ("initcheck_tolerance = metric a: -1", "*'metric a: -1': write *"),
        ("initcheck_least = some", "*initcheck_least = some: must be a number of at least 0*"),
        ("initcheck_least = -1", "*initcheck_least = -1: must be a number of at least 0*"),
    ],
)
def test_a_line_that_says_nothing_is_a_usage_error(models, ini, said):
    result = run(models, 0.9, ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


RUNS = """
    import pytest
    def runs():
        return {{"accuracy": [0.9 + {shift} + 1e-5 * i for i in range(8)]}}
    def test_note(initcheck):
        initcheck.compare("m", runs())
    @pytest.mark.initcheck(least=0.001)
    def test_marked(initcheck):
        initcheck.compare("m", runs())
"""


def test_a_small_change_that_is_no_chance_is_a_note(project, workers):
    project.test(test_a=RUNS.format(shift=0))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=RUNS.format(shift=0.01))
    result = project.run(*workers)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["FAILED test_a.py::test_marked*"])
    project.pytester.makeini("[pytest]\ninitcheck_least = 0")
    project.run(*workers).assert_outcomes(failed=2)


CURVE = """
    import pytest
    def test_curve(initcheck):
        initcheck.compare("m", {{"loss": [[1.0, 0.5, {last}], [1.1, 0.6, {last}]]}})
"""


@pytest.mark.parametrize(("last", "is_within"), [(0.42, True), (0.5, False)])
def test_a_curve_is_held_to_its_worst_point(models, last, is_within):
    models.test(test_a=CURVE.format(last=0.4))
    assert models.run("--initcheck-update").ret == 0
    models.test(test_a=CURVE.format(last=last))
    (models.path / "pytest.ini").write_text("[pytest]\ninitcheck_tolerance = curve loss: 0.1\n")
    models.run().assert_outcomes(passed=int(is_within), failed=int(not is_within))
