"""--initcheck-report: one page and run.json, whatever runs the tests and wherever it points."""

from __future__ import annotations

import os
import stat

import pytest

# Imported here: a module that an inner run imports first is another one in the next run.
from pytest_initcheck.report import page

RECORDS = """
    import pytest
    @pytest.mark.parametrize("i", range(4))
    def test_records(initcheck, i):
        initcheck.compare("cost", {"cost": [1.0 + i, 2.0]})
    def test_plain():
        pass
"""
OFF = "--initcheck-baselines=off"


def test_page_and_data_are_written_and_do_not_depend_on_the_workers(project, workers):
    project.test(test_a=RECORDS, test_b=RECORDS)
    result = project.run(OFF, "--initcheck-report=report/page.html", *workers)
    assert result.ret == 0
    page = (project.path / "report/page.html").read_text()
    assert page.lower().startswith("<!doctype html>")
    assert "test_records" in page
    files = ("test_a.py", "test_b.py")
    names = [test["nodeid"] for test in project.data()["tests"]]
    assert names == [f"{file}::test_records[{i}]" for file in files for i in range(4)]
    result.stdout.fnmatch_lines(["*= initcheck =*", f"report: {project.path}/report/page.html"])
    found = timeless(project)
    assert project.run(OFF, "--initcheck-report=report/page.html").ret == 0
    assert timeless(project) == found


def timeless(project):
    """The data of a run without what no two runs share."""
    data = project.data()
    data["provenance"].pop("time")
    for test in data["tests"]:
        test.pop("duration")
    return data


def test_path_is_relative_to_where_pytest_was_called(project, monkeypatch):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    assert project.run(OFF, "--initcheck-report=x.html", "--rootdir=..", "..").ret == 0
    assert (project.path / "below/x.html").exists()


def test_existing_folder_gets_a_page(project):
    project.test(test_a=RECORDS)
    (project.path / "out").mkdir()
    result = project.run(OFF, "--initcheck-report=out")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"report: {project.path}/out/report.html"])
    assert {p.name for p in (project.path / "out").iterdir()} == {"report.html", "run.json"}


def test_report_is_written_where_no_test_used_the_plugin(project):
    project.test(test_a="def test_plain(): pass")
    assert project.run("--initcheck-report=report/page.html").ret == 0
    assert project.data().get("tests", []) == []
    assert (project.path / "report/page.html").exists()


def test_failed_tests_are_in_the_report(project):
    project.test(
        test_a="""
        def test_fails(initcheck):
            initcheck.compare("cost", 1.0)
            assert 1 == 2, "the reason"
        """
    )
    assert project.run(OFF, "--initcheck-report=report/page.html").ret == 1
    (test,) = project.data()["tests"]
    assert test["outcome"] == "failed"
    assert "the reason" in test["message"]
    assert [entry["name"] for entry in test["entries"]] == ["cost"]


def test_collecting_only_writes_nothing(project):
    project.test(test_a=RECORDS)
    assert project.run("--collect-only", "--initcheck-report=report/page.html").ret == 0
    assert not (project.path / "report").exists()


def one_red_line(result, *words):
    lines = [line for line in result.outlines if line.startswith("ERROR: report not written")]
    assert len(lines) == 1, result.stdout.str()
    for word in words:
        assert word in lines[0]
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert "INTERNALERROR" not in result.stdout.str()


def test_file_in_place_of_the_folder(project):
    project.test(test_a=RECORDS)
    (project.path / "taken").write_text("")
    result = project.run(OFF, "--initcheck-report=taken/page.html")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    one_red_line(result, "taken/page.html")
    result.assert_outcomes(passed=5)


def test_page_in_place_of_its_data(project):
    project.test(test_a=RECORDS)
    result = project.run(OFF, "--initcheck-report=run.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    one_red_line(result, "run.json")


def test_folder_in_place_of_the_data(project):
    project.test(test_a=RECORDS)
    (project.path / "out/run.json").mkdir(parents=True)
    result = project.run(OFF, "--initcheck-report=out/page.html")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    one_red_line(result, "out")


def test_folder_that_cannot_be_written(project, monkeypatch):
    project.test(test_a=RECORDS)
    folder = project.path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    if os.access(folder, os.W_OK):  # root may write anywhere; a full device refuses root as well
        monkeypatch.setattr("os.fsync", _full)
    result = project.run(OFF, "--initcheck-report=locked/page.html")
    folder.chmod(stat.S_IRWXU)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    one_red_line(result, "locked")
    assert list(folder.iterdir()) == []


def _full(_handle):
    raise OSError(28, "No space left on device")


def test_fault_of_the_renderer_costs_no_result(project, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(page, "render_page", broken)
    project.test(test_a=RECORDS)
    result = project.run(OFF, "--initcheck-report=report/page.html")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    one_red_line(result, "page.html", "ZeroDivisionError: division by zero")
    result.assert_outcomes(passed=5)


def test_a_failed_run_keeps_its_exit_status(project):
    project.test(test_a="def test_fails(): assert False")
    (project.path / "taken").write_text("")
    result = project.run("--initcheck-report=taken/page.html", "no_such_file.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR


def test_empty_path_is_refused(project):
    result = project.run("--initcheck-report=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --initcheck-report is empty*"])


def test_path_among_the_baselines_is_refused(project):
    result = project.run("--initcheck-report=baselines/page.html")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --initcheck-report lies in the folder of the baselines*"])
