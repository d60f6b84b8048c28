"""--initcheck-strict, initcheck_strict and the marker's strict: warnings taken for errors."""

from __future__ import annotations

import pytest

OFF = "--initcheck-baselines=off"
TEST = """
    import pytest
    import torch
    from torch import nn
    from nets import net, batch

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.body, self.other = net(), nn.Linear(6, 4)
        def forward(self, x):
            return self.body(x), self.other(x)

    {mark}
    def test_warned(initcheck):
        initcheck.assert_healthy(Pair(), batch())
"""


def run(models, *arguments, mark="", ini=""):
    models.test(test_a=TEST.format(mark=mark))
    models.pytester.makeini(f"[pytest]\n{ini}\n")
    return models.run(OFF, *arguments)


def test_without_it_a_warning_passes(models):
    run(models).assert_outcomes(passed=1)


def test_a_warning_fails_in_each_way_to_run_tests(models, workers):
    result = run(models, "--initcheck-strict", *workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*IC823*"])


@pytest.mark.parametrize(
    ("option", "mark", "ini", "passed"),
    [
        ([], "", "initcheck_strict = true", 0),
        ([], "@pytest.mark.initcheck(strict=False)", "initcheck_strict = true", 1),
        ([], "@pytest.mark.initcheck(strict=True)", "", 0),
        (["--initcheck-strict"], "@pytest.mark.initcheck(strict=False)", "", 0),
        (["--initcheck-strict", "--initcheck-select=IC1*"], "", "", 1),
    ],
)
def test_command_line_over_marker_over_ini_file(models, option, mark, ini, passed):
    run(models, *option, mark=mark, ini=ini).assert_outcomes(passed=passed, failed=1 - passed)


def test_a_marker_that_is_no_choice_is_refused(models):
    result = run(models, mark="@pytest.mark.initcheck(strict='yes')")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*strict='yes'): must be True, False or None*"])
