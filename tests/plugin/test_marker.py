"""The marker ``initcheck``: what it sets for a test, and what it refuses."""

from __future__ import annotations

import pytest

MARKED = """
    import pytest
    @pytest.mark.initcheck({arguments})
    def test_records(initcheck):
        initcheck.compare("cost", {value})
"""


def test_marker_is_registered(project):
    project.test(test_a=MARKED.format(arguments="baseline=False", value=1.0))
    assert project.run("--strict-markers", "-W", "error").ret == 0
    project.run("--markers").stdout.fnmatch_lines(["@pytest.mark.initcheck(*baseline=True*"])


def test_baseline_false_compares_with_none(project):
    project.test(test_a=MARKED.format(arguments="baseline=False", value=1.0))
    assert project.run().ret == 0


def test_baseline_false_goes_before_ini(project):
    project.test(test_a=MARKED.format(arguments="baseline=False", value=1.0))
    project.pytester.makeini("[pytest]\ninitcheck_baselines = kept")
    assert project.run().ret == 0


def test_baseline_true_goes_before_ini(project):
    project.test(test_a=MARKED.format(arguments="baseline=True", value=1.0))
    project.pytester.makeini("[pytest]\ninitcheck_baselines = off")
    assert project.run().ret == 1
    assert project.run("--initcheck-baselines=off").ret == 0


def test_baseline_false_keeps_an_update_away(project):
    project.test(test_a=MARKED.format(arguments="baseline=False", value=1.0))
    assert project.run("--initcheck-update").ret == 0
    assert not (project.path / "baselines").exists()


@pytest.mark.parametrize("arguments", ["rtol=0.2", "atol=0.2"])
def test_tolerance_replaces_that_of_the_baseline(project, arguments):
    project.test(test_a=MARKED.format(arguments="", value=1.0))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=MARKED.format(arguments="", value=1.1))
    assert project.run().ret == 1
    project.test(test_a=MARKED.format(arguments=arguments, value=1.1))
    assert project.run().ret == 0
    project.test(test_a=MARKED.format(arguments=arguments, value=1.3))
    assert project.run().ret == 1


def test_argument_of_the_call_goes_before_the_marker(project):
    project.test(test_a=MARKED.format(arguments="", value=1.0))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=MARKED.format(arguments="rtol=0.01", value="1.1, rtol=0.2"))
    assert project.run().ret == 0


def test_the_nearest_marker_wins_key_by_key(project):
    project.test(
        test_a="""
        import pytest
        pytestmark = pytest.mark.initcheck(baseline=True, rtol=0.5)

        @pytest.mark.initcheck(baseline=False)
        class TestClass:
            def test_of_class(self, initcheck):
                initcheck.compare("cost", 1.0)

            @pytest.mark.initcheck(baseline=True)
            def test_of_function(self, initcheck):
                initcheck.compare("cost", 1.0)
        """
    )
    project.run().assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "basline=False",
            "no argument 'basline'; it takes baseline, rtol, atol, least, tolerance, device, ",
        ),
        (
            "'off'",
            "takes keywords only (baseline, rtol, atol, least, tolerance, device, ignore, causal, "
            "thorough, select, strict, variant), not 'off'",
        ),
        ("baseline='off'", "baseline='off'): must be True or False"),
        ("rtol='much'", "rtol='much'): must be a number of at least 0"),
        ("rtol=-1", "rtol=-1): must be a number of at least 0"),
        ("atol=float('nan')", "atol=nan): must be a number of at least 0"),
        ("device='gpu'", "device='gpu'): must be 'cpu', 'cuda' or 'auto'"),
        ("causal='yes'", "causal='yes'): must be True, False or None"),
    ],
)
def test_wrong_argument_is_one_clear_error(project, arguments, words):
    project.test(test_a=MARKED.format(arguments=arguments, value=1.0))
    result = project.run()
    assert result.ret == 1
    result.assert_outcomes(errors=1)
    lines = [line for line in result.outlines if line.startswith("@pytest.mark.initcheck")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "options.py" not in result.stdout.str()


def test_wrong_argument_is_told_under_xdist(project, quick_python):
    project.test(test_a=MARKED.format(arguments="basline=False", value=1.0))
    result = project.run("-n2")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*no argument 'basline'*"])
    assert "INTERNALERROR" not in result.stdout.str()


def test_wrong_argument_is_told_where_the_fixture_is_not_used(project):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.initcheck(basline=False)
        def test_plain():
            pass
        """
    )
    project.run().assert_outcomes(errors=1)


def test_a_variant_counts_no_other_baselines(project):
    project.test(test_a=MARKED.format(arguments="variant='cpu'", value=1.0))
    project.record()
    project.test(test_a=MARKED.format(arguments="variant='cuda sm_90'", value=1.0))
    project.expect_failure("missing: no baseline", "none of 'cuda sm_90'; there are: ")
    project.test(test_a=MARKED.format(arguments="variant=3", value=1.0))
    assert "must be a text, such as 'cuda'" in project.run().stdout.str()


def test_a_variant_of_one_record_replaces_that_of_the_marker(project):
    body = MARKED.format(arguments="variant='cuda'", value="1.0, variant='cpu'")
    project.test(test_a=body)
    project.record()
    project.expect_pass()
