"""Under pytest-xdist: nothing is lost, nothing is written twice, a crash costs one test."""

from __future__ import annotations

OFF = "--initcheck-baselines=off"
CRASHES = """
    import os
    import pytest
    @pytest.mark.parametrize("i", range(6))
    def test_records(initcheck, i):
        initcheck.compare("cost", 1.0 + i)
        if i == 3:
            os._exit(1)
"""


def test_crashed_worker_costs_one_test(project):
    project.test(test_a=CRASHES)
    result = project.run(OFF, "-n2", "--initcheck-report=report/page.html")
    result.assert_outcomes(passed=5, failed=1)
    tests = {test["nodeid"]: test for test in project.data()["tests"]}
    assert len(tests) == 6
    crashed = tests.pop("test_a.py::test_records[3]")
    assert crashed["outcome"] == "crashed"
    assert "crashed" in crashed["message"]
    assert all(test.get("outcome", "passed") == "passed" for test in tests.values())
    assert all(test["entries"] for test in tests.values())
    assert any("went down" in note for note in project.data()["notes"])
    assert "INTERNALERROR" not in result.stdout.str()


def test_crashed_test_keeps_its_baseline(project):
    project.test(test_a=CRASHES.replace("os._exit(1)", "pass"))
    assert project.run("--initcheck-update").ret == 0
    before = (project.path / "baselines/test_a.json").read_text()
    project.test(test_a=CRASHES)
    project.run("--initcheck-update", "-n2")
    assert (project.path / "baselines/test_a.json").read_text() == before


def test_crash_in_a_run_that_does_not_use_the_plugin(project):
    project.test(
        test_a="""
        import os
        def test_crashes():
            os._exit(1)
        """
    )
    result = project.run("-n1")
    result.assert_outcomes(failed=1)
    assert "= initcheck =" not in result.stdout.str()


def test_everything_arrives_from_many_workers(project, quick_python):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.parametrize("i", range(40))
        def test_records(initcheck, i):
            initcheck.compare("cost", {"cost": [float(i)] * 1000})
        """
    )
    assert project.run(OFF, "-n3", "--initcheck-report=report/page.html").ret == 0
    entries = project.entries()
    assert len(entries) == 40
    for i in range(40):
        entry = entries[f"test_a.py::test_records[{i}]", "cost"]
        assert entry["record"]["metrics"]["cost"] == [float(i)] * 1000


def test_nothing_odd_breaks_the_transport(project, quick_python):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.parametrize("text", ["a::b", "ü/☃", "new\\nline", "\\x00", "<script>"])
        def test_records(initcheck, text):
            initcheck.compare(text, {text: [float("nan"), float("inf"), -1e308]})
        """
    )
    result = project.run(OFF, "-n2", "--initcheck-report=report/page.html")
    result.assert_outcomes(passed=5)
    values = [entry["record"]["metrics"] for entry in project.entries().values()]
    assert [list(metrics.values()) for metrics in values] == [[["nan", "inf", -1e308]]] * 5
    names = {name for _, name in project.entries()}
    assert names == {"a::b", "ü/☃", "new\nline", "\x00", "<script>"}


def test_switched_off(project):
    project.test(test_a='def test_records(initcheck): initcheck.compare("cost", 1.0)')
    result = project.run(OFF, "-p", "no:xdist", "--initcheck-report=report/page.html")
    assert result.ret == 0
    assert len(project.entries()) == 1
