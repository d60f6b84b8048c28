"""Beside pytest's other features: classes, doctests, reruns, subtests, other roots."""

from __future__ import annotations

import importlib.util

import pytest

HAS_SUBTESTS = importlib.util.find_spec("_pytest.subtests") is not None
OFF = "--initcheck-baselines=off"
REPORT = "--initcheck-report=report/page.html"


def names(project):
    return [test["nodeid"] for test in project.data()["tests"]]


def test_classes_and_parameters(project):
    project.test(
        test_a="""
        import pytest
        class TestModel:
            @pytest.mark.parametrize("name", ["a::b", "c[d]", "e/f"])
            def test_records(self, initcheck, name):
                initcheck.compare("cost", 1.0)
        """
    )
    assert project.run("--initcheck-update").ret == 0
    assert project.run(REPORT).ret == 0
    found = [f"test_a.py::TestModel::test_records[{name}]" for name in ("a::b", "c[d]", "e/f")]
    assert names(project) == found


def test_unittest_classes(project):
    project.test(
        test_a="""
        import unittest
        import pytest
        class TestModel(unittest.TestCase):
            @pytest.fixture(autouse=True)
            def given(self, initcheck):
                self.initcheck = initcheck
            def test_records(self):
                self.initcheck.compare("cost", 1.0)
            def test_fails(self):
                self.initcheck.compare("cost", 1.0)
                self.fail("its own reason")
        """
    )
    result = project.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*AssertionError: its own reason", "missing: no baseline *"])
    assert project.run(OFF).parseoutcomes() == {"passed": 1, "failed": 1}


def test_doctests(project):
    project.test(
        module='''
        def documented():
            """
            >>> initcheck = getfixture("initcheck")
            >>> initcheck.compare("cost", 1.0)
            """
        '''
    )
    assert project.run(OFF, REPORT, "--doctest-modules", "module.py").ret == 0
    assert names(project) == ["module.py::module.documented"]
    project.run("--doctest-modules", "module.py").assert_outcomes(failed=1)


def test_fixtures_share_what_they_record_with_their_test(project):
    project.test(
        test_a="""
        import pytest
        @pytest.fixture
        def measured(initcheck):
            initcheck.compare("cost", 1.0)
            return initcheck
        def test_records(measured, initcheck):
            assert measured is initcheck
            initcheck.compare("cost", 2.0)
        """
    )
    assert project.run(OFF, REPORT).ret == 0
    entries = project.entries()
    assert [name for _, name in entries] == ["cost", "cost-2"]


def test_last_failed(project):
    project.test(
        test_a="""
        def test_one(initcheck):
            initcheck.compare("cost", 1.0)
        def test_two(initcheck):
            initcheck.compare("cost", 2.0)
        """
    )
    project.run("--initcheck-update", "-k", "one")
    project.run().assert_outcomes(passed=1, failed=1)
    project.run("--lf", REPORT).assert_outcomes(failed=1)
    assert names(project) == ["test_a.py::test_two"]


def test_stop_at_the_first(project):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.parametrize("i", range(20))
        def test_records(initcheck, i):
            initcheck.compare("cost", float(i))
        """
    )
    assert project.run("-x", REPORT).ret != 0
    assert names(project)[0] == "test_a.py::test_records[0]"
    assert len(names(project)) < 20


def test_parameters_come_in_their_natural_order(project):
    project.test(
        test_a="""
        import pytest
        @pytest.mark.parametrize("i", [2, 10, 1])
        def test_records(initcheck, i):
            initcheck.compare("cost", float(i))
        """
    )
    project.run(OFF, REPORT)
    assert names(project) == [f"test_a.py::test_records[{i}]" for i in (1, 2, 10)]


@pytest.mark.skipif(not HAS_SUBTESTS, reason="pytest has subtests from 9.0 on")
def test_subtests(project, workers):
    project.test(
        test_a="""
        def test_parts(initcheck, subtests):
            for i in range(3):
                with subtests.test(i=i):
                    initcheck.compare(f"cost {i}", float(i))
                    assert i != 1
        """
    )
    result = project.run(OFF, REPORT, *workers)
    assert result.ret == 1
    (test,) = project.data()["tests"]
    assert test["outcome"] == "failed"
    assert [entry["name"] for entry in test["entries"]] == ["cost 0", "cost 1", "cost 2"]


def test_a_second_attempt_replaces_the_first(project):
    project.pytester.makeconftest(
        """
        from _pytest.runner import runtestprotocol
        def pytest_runtest_protocol(item, nextitem):
            for attempt in range(2):
                item.attempt = attempt
                reports = runtestprotocol(item, nextitem=nextitem, log=False)
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
            return True
        """
    )
    project.test(
        test_a="""
        def test_flaky(initcheck, request):
            initcheck.compare("cost", float(request.node.attempt))
            assert request.node.attempt == 1
        """
    )
    assert project.run(OFF, REPORT, "--junitxml=junit.xml").ret == 0
    (entry,) = project.entries().values()
    assert entry["record"]["metrics"]["cost"] == [1.0]
    assert (project.path / "junit.xml").read_text().count("initcheck.verdict") == 1


def test_importlib_mode(project):
    project.pytester.makepyfile(
        **{
            f"{folder}/test_same": 'def test_a(initcheck): initcheck.compare("cost", 1.0)'
            for folder in ("one", "two")
        }
    )
    assert project.run("--import-mode=importlib", "--initcheck-update").ret == 0
    assert project.run("--import-mode=importlib").ret == 0
    files = sorted((project.path / "baselines").rglob("*.json"))
    assert [str(f.relative_to(project.path)) for f in files] == [
        "baselines/one/test_same.json",
        "baselines/two/test_same.json",
    ]


def test_root_that_is_not_the_current_folder(project, monkeypatch):
    project.pytester.makepyfile(
        **{"app/tests/test_a": 'def test_a(initcheck): initcheck.compare("cost", 1.0)'}
    )
    (project.path / "app/pytest.ini").write_text("[pytest]\n")
    assert project.run("app", "--initcheck-update").ret == 0
    assert (project.path / "app/baselines/tests/test_a.json").exists()
    monkeypatch.chdir(project.path / "app/tests")
    assert project.run().ret == 0


def test_tests_outside_of_the_root(project):
    project.test(test_a='def test_a(initcheck): initcheck.compare("cost", 1.0)')
    (project.path / "root").mkdir()
    arguments = ("--rootdir=root", "test_a.py")
    assert project.run(*arguments, "--initcheck-update").ret == 0
    assert project.run(*arguments).ret == 0
    assert list((project.path / "root/baselines").rglob("*.json"))


def test_without_cache(project):
    project.test(test_a='def test_a(initcheck): initcheck.compare("cost", 1.0)')
    assert project.run(OFF, "-p", "no:cacheprovider").ret == 0
    assert not (project.path / ".pytest_cache").exists()


def test_last_run_is_kept_for_the_commands(project):
    project.test(test_a='def test_a(initcheck): initcheck.compare("cost", 1.0)')
    assert project.run(OFF).ret == 0
    assert list(project.entries(".pytest_cache/v/initcheck/run.json")) == [
        ("test_a.py::test_a", "cost")
    ]


def test_without_terminal(project):
    project.test(test_a='def test_a(initcheck): initcheck.compare("cost", 1.0)')
    assert project.run(OFF, REPORT, "-p", "no:terminal").ret == 0
    assert names(project) == ["test_a.py::test_a"]
