"""What a failed test says: health first, baselines after it, none of the package's frames."""

from __future__ import annotations

OFF = "--initcheck-baselines=off"
INTERNAL = ("fixture.py", "recording.py", "calls.py", "watch.py", "plugin.py", "recorder.py")
BAD = """
    import torch
    from nets import net, batch
    def bad():
        model = net()
        for parameter in model.parameters():
            torch.nn.init.zeros_(parameter)
        return model
    def test_bad(initcheck):
        initcheck.assert_healthy(bad(), batch())
"""


def shows_no_internals(result):
    text = result.stdout.str()
    assert not [name for name in INTERNAL if f"{name}:" in text], text


def test_text_of_an_assertion(models):
    models.test(test_a=BAD)
    result = models.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: IC101 zero, layer '0': 0, allowed more than 0",
            "E*cause     the weights are zero and so is their gradient*",
            "E*fix       draw the weights*",
            "E*report: pytest test_a.py::test_bad --initcheck-report=*",
            "FAILED test_a.py::test_bad - fail: IC101 zero, layer '0'*",
        ]
    )
    shows_no_internals(result)


def test_report_is_named_where_there_is_one(models):
    models.test(test_a=BAD)
    result = models.run(OFF, "--initcheck-report=out/page.html")
    result.stdout.fnmatch_lines(["E*report: out/page.html"])


def test_health_comes_first_and_the_baseline_is_a_section(models):
    models.test(test_a=BAD)
    result = models.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*InitcheckFailure: fail: IC101 zero, layer '0'*",
            "*- initcheck baseline -*",
            "missing: no baseline for 'healthy'*",
            "not created: its start is not healthy (IC101); repair it, ignore the findings, *",
        ]
    )


def test_the_section_travels(project, workers):
    project.test(
        test_a="""
        def test_fails(initcheck):
            initcheck.compare("cost", 1.0)
            assert 1 == 2
        """
    )
    result = project.run(*workers)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "E*assert 1 == 2",
            "missing: no baseline for 'cost'*",
            "not created: an update writes what passes, and this test fails by its own assertions",
        ]
    )
    assert "--initcheck-update" not in result.stdout.str()


def test_an_expected_failure_is_not_told_to_update(project):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.xfail(reason="not yet")
        def test_expected(initcheck):
            initcheck.compare("cost", 1.0)
        @pytest.mark.xfail(raises=ValueError)
        def test_expected_otherwise(initcheck):
            initcheck.compare("cost", 1.0)
        """
    )
    result = project.run()
    result.assert_outcomes(xfailed=1, failed=1)
    assert "--initcheck-update" not in result.stdout.str()
    result.stdout.fnmatch_lines(["*not created: an update writes what passes, and this test is *"])


def test_all_baselines_are_told_at_once_at_the_end(project):
    project.test(
        test_a="""
        def test_many(initcheck):
            for i in range(10):
                initcheck.compare(f"cost {i}", 1.0)
            print("the end was reached")
        """
    )
    result = project.run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        ["missing: no baseline for 'cost 0', *'cost 7' and 2 more*", "*the end was reached"]
    )
    shows_no_internals(result)


def test_error_of_a_users_forward_shows_the_users_code_only(models):
    models.test(
        test_a="""
        import torch
        from nets import batch
        class Net(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(6, 3)
            def forward(self, x):
                raise ValueError("the user's own")
        def test_raises(initcheck):
            initcheck.diagnose(Net(), batch())
        """
    )
    result = models.run(OFF)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["E*ValueError: the user's own", "E*InitcheckError: *"])
    shows_no_internals(result)
    assert "module.py" not in result.stdout.str()
    assert "look.py" not in result.stdout.str()


def test_wrong_argument_is_told_in_one_line(models):
    models.test(
        test_a="""
        from nets import net, batch
        def test_wrong(initcheck):
            initcheck.assert_healthy(net(), batch(), stepz=3)
        """
    )
    result = models.run(OFF)
    result.stdout.fnmatch_lines(
        ["E*InitcheckError: diagnose: got an unexpected keyword argument 'stepz'; it takes model*"]
    )
    shows_no_internals(result)


def test_skipped_test_is_not_failed_by_its_baseline(project):
    project.test(
        test_a="""
        import pytest
        def test_skips(initcheck):
            initcheck.compare("cost", 1.0)
            pytest.skip("enough")
        """
    )
    result = project.run("--initcheck-report=report/page.html")
    result.assert_outcomes(skipped=1)
    assert [test["outcome"] for test in project.data()["tests"]] == ["skipped"]


def test_expected_failure_covers_the_baseline(project):
    project.test(
        test_a="""
        import pytest
        from pytest_initcheck import InitcheckFailure
        @pytest.mark.xfail(raises=InitcheckFailure, strict=True)
        def test_expected(initcheck):
            initcheck.compare("cost", 1.0)
        """
    )
    result = project.run("--initcheck-report=report/page.html")
    result.assert_outcomes(xfailed=1)
    assert [test["outcome"] for test in project.data()["tests"]] == ["xfailed"]


def test_error_in_a_teardown_is_an_error(project):
    project.test(
        test_a="""
        import pytest
        @pytest.fixture
        def fragile():
            yield
            raise RuntimeError("in teardown")
        def test_ends_badly(initcheck, fragile):
            initcheck.compare("cost", 1.0)
        """
    )
    project.run(OFF, "--initcheck-report=report/page.html").assert_outcomes(passed=1, errors=1)
    (test,) = project.data()["tests"]
    assert test["outcome"] == "error"
    assert "in teardown" in test["message"]


def test_error_in_a_setup_is_an_error(project):
    project.test(
        test_a="""
        import pytest
        @pytest.fixture
        def fragile(initcheck):
            initcheck.compare("cost", 1.0)
            raise RuntimeError("in setup")
        def test_never_starts(fragile):
            pass
        """
    )
    project.run("--initcheck-report=report/page.html").assert_outcomes(errors=1)
    (test,) = project.data()["tests"]
    assert test["outcome"] == "error"
    assert [entry["name"] for entry in test["entries"]] == ["cost"]
