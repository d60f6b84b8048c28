"""--initcheck-select, initcheck_select and the marker's select: which rules count."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
TEST = """
    import pytest
    from torch import nn
    from nets import net, batch
    {mark}
    def test_zero(initcheck):
        model = net()
        for parameter in model.parameters():
            nn.init.zeros_(parameter)
        found = initcheck.assert_healthy(model, batch())
        assert {{f.ignored for f in found.ignored}} == {{"not selected"}}
"""


def run(models, *arguments, mark="", ini=""):
    models.test(test_a=TEST.format(mark=mark))
    models.pytester.makeini(f"[pytest]\n{ini}\n")
    return models.run(OFF, *arguments)


def test_what_is_selected_counts(models):
    run(models, "--initcheck-select=IC1*").assert_outcomes(failed=1)


@pytest.mark.parametrize("ids", ["IC4*", "IC5*,IC6*", "IC201 IC301"])
def test_what_is_not_selected_does_not_count(models, ids):
    run(models, f"--initcheck-select={ids}").assert_outcomes(passed=1)


def test_it_holds_in_each_way_to_run_tests(models, workers):
    run(models, "--initcheck-select=IC4*", *workers).assert_outcomes(passed=1)


@pytest.mark.parametrize(
    ("option", "mark", "ini", "passed"),
    [
        ([], "", "initcheck_select = IC4* IC5*", 1),
        ([], "@pytest.mark.initcheck(select='IC4*')", "initcheck_select = IC1*", 1),
        ([], "@pytest.mark.initcheck(select=['IC1*', 'IC4*'])", "initcheck_select = IC4*", 0),
        (["--initcheck-select=IC4*"], "@pytest.mark.initcheck(select='IC1*')", "", 1),
    ],
)
def test_command_line_over_marker_over_ini_file(models, option, mark, ini, passed):
    run(models, *option, mark=mark, ini=ini).assert_outcomes(passed=passed, failed=1 - passed)


def test_what_is_no_rule_is_refused(models):
    result = run(models, "--initcheck-select=zero weights")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--initcheck-select: 'zero' is no rule; pass ids or globs*"])
    result = run(models, ini="initcheck_select = zero")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result = run(models, mark="@pytest.mark.initcheck(select=3)")
    result.stdout.fnmatch_lines(["*@pytest.mark.initcheck(select=3): *"])
    assert result.ret == 1
