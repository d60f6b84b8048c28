"""pytest_initcheck_checks: a team adds checks without touching the package."""

from __future__ import annotations

import pytest

TEAM = """
    from pytest_initcheck import Finding
    class Loud:
        name = "loud"
        def run(self, evidence):
            yield Finding(id="T1", check=self.name, severity="error", layer="0",
                    quantity="noise", measured=2.0, limit=1.0, cause="too loud", remedy="hush")
    def pytest_initcheck_checks(config):
        return [Loud()]
"""
DIAGNOSES = """
    from nets import net, batch
    def test_team(initcheck):
        initcheck.assert_healthy(net(), batch())
"""
OFF = "--initcheck-baselines=off"


def test_finding_of_a_team_fails_the_test(models):
    models.pytester.makeconftest(TEAM)
    models.test(test_a=DIAGNOSES)
    result = models.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*fail: T1 loud, layer '0': 2, allowed at most 1",
            "E*cause     too loud",
            "E*fix       hush",
        ]
    )


def test_built_in_checks_run_as_well(models):
    models.pytester.makeconftest(TEAM)
    models.test(
        test_a="""
        import torch
        from nets import net, batch
        def test_team(initcheck):
            model = net()
            for parameter in model.parameters():
                torch.nn.init.zeros_(parameter)
            found = initcheck.diagnose(model, batch()).findings
            assert {"T1", "IC101"} <= {finding.id for finding in found}
        """
    )
    assert models.run(OFF).ret == 0


def test_checks_of_a_folder_hold_below_it(models):
    models.test(test_a=DIAGNOSES)
    models.pytester.makepyfile(**{"deep/conftest": TEAM, "deep/test_b": DIAGNOSES})
    models.pytester.makeini("[pytest]\npythonpath = .")
    models.run(OFF).assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("Loud()", "pytest_initcheck_checks gave Loud; return a list of checks"),
        ("[Loud]", "a check is an object with a name"),
        ("[3]", "pytest_initcheck_checks gave 3; a check is an object with a name"),
    ],
)
def test_wrong_answer_is_one_clear_error(models, answer, words):
    models.pytester.makeconftest(TEAM.replace("[Loud()]", answer))
    models.test(test_a=DIAGNOSES)
    result = models.run(OFF)
    assert result.ret == 1
    assert words in result.stdout.str()
    assert "team.py" not in result.stdout.str()


def test_check_that_yields_something_else_is_one_clear_error(models):
    models.pytester.makeconftest(
        """
        class Loud:
            name = "loud"
            def run(self, evidence):
                yield "too loud"
        def pytest_initcheck_checks(config):
            return [Loud()]
        """
    )
    models.test(test_a=DIAGNOSES)
    result = models.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*the check 'loud' gave str; yield*Finding objects"])
