"""Checks that other distributions bring by entry points."""

from __future__ import annotations

import pytest

from pytest_initcheck import InitcheckError, checks
from pytest_initcheck.cli import main

ACME = """
    from pytest_initcheck import Finding
    from pytest_initcheck.checks import Rule

    LOUD = Rule(id="ACME1", title="too loud", cause="it is too loud", limit="1", reference="us",
                remedy="hush")

    class Loud:
        name = "loud"
        rules = (LOUD,)
        protocol = 1

        def run(self, evidence):
            yield LOUD.found("loud", "error", ["0"], "noise", measured=2.0, limit=1.0)
"""
DIAGNOSES = """
    from nets import net, batch
    def test_acme(initcheck):
        initcheck.assert_healthy(net(), batch())
"""
OFF = "--initcheck-baselines=off"
POINT = "loud = acme:Loud"


def test_a_check_of_a_distribution_is_part_of_every_diagnosis(models, distributions):
    distributions.add("acme", checks=POINT, code=ACME)
    models.test(test_a=DIAGNOSES)
    result = models.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*ACME1 loud, layer '0': 2, allowed at most 1"])


def test_it_runs_beside_those_of_a_team(models, distributions):
    distributions.add("acme", checks=POINT, code=ACME)
    models.pytester.makeconftest(
        """
        class Quiet:
            name = "quiet"
            def run(self, evidence):
                return ()
        def pytest_initcheck_checks(config):
            return [Quiet()]
        """
    )
    models.test(test_a=DIAGNOSES)
    assert "ACME1" in models.run(OFF).stdout.str()


def test_its_findings_can_be_ignored(models, distributions):
    distributions.add("acme", checks=POINT, code=ACME)
    models.test(
        test_a="""
        import pytest
        from nets import net, batch
        @pytest.mark.initcheck(ignore="ACME1 0: we like it loud")
        def test_acme(initcheck):
            found = initcheck.assert_healthy(net(), batch())
            assert [finding.id for finding in found.ignored] == ["ACME1"]
        """
    )
    assert models.run(OFF).ret == 0


def test_its_rules_are_listed_and_explained(distributions, capsys):
    distributions.add("acme", checks=POINT, code=ACME)
    assert main(["rules"]) == 0
    assert any(
        line.split()[:2] == ["ACME1", "loud"] for line in capsys.readouterr().out.split("\n")
    )
    assert main(["rules", "acme1"]) == 0
    out = capsys.readouterr().out
    assert "it is too loud" in out
    assert "brought by:   acme" in out
    assert main(["rules", "IC101"]) == 0
    assert "brought by" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("point", "code"),
    [
        ("loud = acme:LOUDS", ACME + "\n    LOUDS = [Loud()]"),
        ("loud = acme:loud", ACME + "\n    def loud():\n        return Loud()"),
        ("loud = acme:ONE", ACME + "\n    ONE = Loud()"),
    ],
    ids=["list", "function", "object"],
)
def test_an_entry_point_may_be_an_object_a_list_or_what_makes_these(distributions, point, code):
    distributions.add("acme", checks=point, code=code)
    assert checks.available()[-1].name == "loud"


BROKEN = {
    "import": ("loud = nothing_there:Loud", ACME, "cannot be loaded: ModuleNotFoundError"),
    "attribute": ("loud = acme:Quiet", ACME, "cannot be loaded: AttributeError"),
    "crash": (POINT, "raise ValueError('no')", "cannot be loaded: ValueError: no"),
    "exit": (POINT, "import sys; sys.exit(3)", "cannot be loaded: SystemExit: 3"),
    "type": ("loud = acme:LOUD", ACME, "has no method run"),
    "name": (POINT, ACME.replace('name = "loud"', "name = 3"), "a check has a name"),
    "rules": (POINT, ACME.replace("rules = (LOUD,)", ""), "'loud' lists no rules"),
    "rule": (POINT, ACME.replace("rules = (LOUD,)", "rules = ('A',)"), "'A', which is no Rule"),
    "ours": (POINT, ACME.replace("ACME1", "IC101"), "IC101 is there already, of pytest-initcheck"),
    "later": (POINT, ACME.replace("protocol = 1", "protocol = 2"), "speaks protocol 2, this"),
    "strange": (POINT, ACME.replace("protocol = 1", "protocol = 'x'"), "protocol is 'x'"),
}


@pytest.mark.parametrize(("point", "code", "words"), BROKEN.values(), ids=BROKEN)
def test_a_broken_one_is_one_error_that_names_its_distribution(distributions, point, code, words):
    distributions.add("acme", checks=point, code=code)
    with pytest.raises(InitcheckError, match="'loud' of the distribution acme") as raised:
        checks.available()
    assert words in str(raised.value)
    assert "repair, upgrade or uninstall it" in str(raised.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("yield evidence.nothing_like_it", "raised AttributeError: "),
        ("yield 'loud'", "gave str; yield pytest_initcheck.Finding objects"),
    ],
)
def test_one_that_fails_on_evidence_names_its_distribution(models, distributions, line, words):
    distributions.add("acme", checks=POINT, code=ACME.partition("yield")[0] + line)
    models.test(test_a=DIAGNOSES)
    said = models.run(OFF).stdout.str()
    assert "'loud' of the distribution acme" in said
    assert words in said


def test_two_distributions_with_one_rule_id(distributions):
    distributions.add("acme", checks=POINT, code=ACME)
    distributions.add("bcme", checks="loud = bcme:Loud", code=ACME)
    with pytest.raises(InitcheckError, match=r"bcme .*ACME1 is there already, of acme"):
        checks.available()


def test_a_broken_one_costs_only_the_tests_that_diagnose(models, distributions):
    distributions.add("acme", checks=POINT, code="raise ValueError('no')")
    models.test(
        test_a=DIAGNOSES,
        test_b="""
        import sys
        def test_plain():
            assert "acme" not in sys.modules
        """,
    )
    result = models.run(OFF, "-p", "no:randomly")
    result.assert_outcomes(passed=1, failed=1)
    assert result.stdout.str().count("of the distribution acme") <= 3
    assert main(["rules"]) == 2


def test_checks_that_are_passed_run_alone(distributions):
    distributions.add("acme", checks=POINT, code="raise ValueError('no')")
    assert [rule.id for rule in checks.rules([checks.registered()[0]])]
