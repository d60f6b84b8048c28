"""Faults that a test expects: said by ``expect=``, caught, marked xfail, or ignored."""

from __future__ import annotations

import pytest

HEAD = """
    import pytest
    import torch
    from nets import net, batch
    from pytest_initcheck import InitcheckFailure
    def bad():
        model = net()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        return model
"""
OFF = "--initcheck-baselines=off"
PAGE = "--initcheck-report=report/page.html"


def entries(models):
    return [entry for test in models.data()["tests"] for entry in test["entries"]]


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("with pytest.raises(InitcheckFailure):\n            initcheck.assert_healthy(bad(), "
         "batch())", "the test catches its failure"),
        ("initcheck.assert_healthy(bad(), batch(), expect='IC1*')", "expect=IC1*"),
        ("initcheck.diagnose(bad(), batch(), expect=['IC101'])", "expect=IC101"),
        ("initcheck.assert_gradients_flow(bad(), batch(), expect='IC101')", "expect=IC101"),
    ],
)  # fmt: skip
def test_what_is_expected_passes_and_is_counted_apart(models, body, reason):
    models.test(test_a=f"{HEAD}\n    def test_bad(initcheck):\n        {body}\n")
    result = models.run(OFF, PAGE)
    result.assert_outcomes(passed=1)
    assert entries(models)[0]["expected"] == reason
    assert entries(models)[0]["verdict"] == "fail"
    result.stdout.fnmatch_lines(["health:*1 expected"])
    result.stdout.no_fnmatch_line("*IC101*")


def test_a_marked_failure_is_expected(models):
    models.test(
        test_a=f"{HEAD}\n    @pytest.mark.xfail(reason='known')\n"
        "    def test_bad(initcheck):\n        initcheck.assert_healthy(bad(), batch())\n"
    )
    models.run(OFF, PAGE).assert_outcomes(xfailed=1)
    assert entries(models)[0]["expected"] == "the test is marked xfail"


def test_a_failure_that_ends_the_test_is_not_expected_though_another_one_is(models):
    models.test(
        test_a=f"""{HEAD}
    def test_bad(initcheck):
        with pytest.raises(InitcheckFailure):
            initcheck.assert_healthy(bad(), batch())
        initcheck.assert_healthy(bad(), batch())
    @pytest.fixture
    def early(initcheck):
        initcheck.assert_healthy(bad(), batch())
    def test_setup(early):
        pass
    def test_wrapped(initcheck):
        try:
            initcheck.assert_healthy(bad(), batch())
        except InitcheckFailure as error:
            raise ValueError("wrapped") from error
"""
    )
    models.run(OFF, PAGE).assert_outcomes(failed=2, errors=1)
    assert [bool(entry.get("expected")) for entry in entries(models)] == [True, *[False] * 3]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("assert_healthy(net(), batch(), expect='IC101')", "expected IC101, which was not found"),
        ("diagnose(bad(), batch(), expect='IC301')", "*expected IC301, *; found: IC101 zero*"),
        ("assert_healthy(bad(), batch(), expect='IC101 last')", "expected IC101 last, which *"),
        ("diagnose(bad(), batch(), expect='IC999')", "*no rule has the id IC999*"),
        ("diagnose(bad(), batch(), expect=3)", "*expect=3: pass expect='IC101'*"),
    ],
)
def test_what_is_expected_and_not_found_fails(models, call, words):
    models.test(test_a=f"{HEAD}\n    def test_bad(initcheck):\n        initcheck.{call}\n")
    result = models.run(OFF)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E*{words}*"])


@pytest.mark.parametrize(
    "body",
    [
        "initcheck.assert_healthy(bad(), batch(), expect='IC101')",
        "with pytest.raises(InitcheckFailure):\n"
        "            initcheck.assert_healthy(bad(), batch())",
    ],
)
def test_what_is_expected_may_be_stored(models, body):
    models.test(test_a=f"{HEAD}\n    def test_bad(initcheck):\n        {body}\n")
    result = models.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["create: pytest *test_bad --initcheck-update"])
    models.run("--initcheck-update").assert_outcomes(passed=1)
    models.run().assert_outcomes(passed=1)
