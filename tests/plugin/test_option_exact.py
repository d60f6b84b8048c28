"""--initcheck-exact: every digit counts, and the first that differs is named."""

from __future__ import annotations

import pytest

TEST = """
    def test_start(initcheck):
        import torch
        from torch import nn
        import torch.nn.functional as F

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 3)
            def forward(self, x):
                return self.second(F.relu(self.first(x)) * {factor})

        torch.manual_seed(0)
        model = Net()
        initcheck.diagnose(model, (torch.randn(16, 8), torch.randint(0, 3, (16,))))
"""
TINY = TEST.format(factor="(1 + 3e-6 / 7)")


@pytest.fixture
def recorded(models):
    models.test(test_a=TEST.format(factor="(1 + 0 / 7)"))
    assert models.run("--initcheck-update").ret == 0
    return models


def test_equal_runs_are_equal_in_every_digit(recorded, workers):
    result = recorded.run("--initcheck-exact", *workers)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*1 match*"])


@pytest.mark.parametrize("workers", [[], ["-n0"]])
def test_rounding_is_a_difference_and_the_first_is_named(recorded, workers):
    recorded.test(test_a=TINY)
    assert recorded.run(*workers).ret == 0
    result = recorded.run("--initcheck-exact", *workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*worst: before layer 'first' gradients.*"])


def test_other_bits_of_the_data_come_first(recorded):
    recorded.test(test_a=TEST.format(factor="1").replace("torch.randn(16, 8)", "torch.rand(16, 8)"))
    result = recorded.run("--initcheck-exact")
    result.stdout.fnmatch_lines(["*worst: before bits of batch*"])


def test_the_first_number_that_differs_is_named(models):
    models.test(test_a=TEST.format(factor="(1 + 1e-6 / 7)"))
    assert models.run("--initcheck-update").ret == 0
    models.test(test_a=TINY)
    result = models.run("--initcheck-exact")
    result.stdout.fnmatch_lines(["*worst: before layer 'first' *gradients*"])


def test_it_contradicts_an_update(recorded):
    result = recorded.run("--initcheck-exact", "--initcheck-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--initcheck-update and --initcheck-exact contradict*"])
