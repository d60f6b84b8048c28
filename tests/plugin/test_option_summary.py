"""--initcheck-summary: Markdown, appended, where it is asked for and where the CI shows it."""

from __future__ import annotations

import pytest
from support import ci

# Imported here: a module that an inner run imports first is another one in the next run.
from pytest_initcheck.report import markdown

RECORDS = """
    import pytest
    @pytest.mark.parametrize("i", range(4))
    def test_records(initcheck, i):
        initcheck.compare("cost", {"cost": [1.0 + i, 2.0]})
"""
OFF = "--initcheck-baselines=off"


def test_counts_faults_and_changes(models, workers):
    ci.faulty(models)
    result = models.run("--initcheck-summary=out/summary.md", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    text = (models.path / "out/summary.md").read_text()
    assert "| health | 1 fail, 1 pass, 1 not judged |" in text
    (fault,) = [line for line in text.splitlines() if line.startswith("| IC101 zero |")]
    assert r"test\_a.py::test\_zero" in fault
    (change,) = [line for line in text.splitlines() if line.startswith("| cost |")]
    assert "| 1000 | 1 |" in change
    assert r"test\_a.py::test\_other" in change
    assert r"test\_a.py::test\_good" not in text


def test_the_summary_is_appended(project):
    project.test(test_a=RECORDS)
    path = project.path / "summary.md"
    path.write_text("# Before\n")
    for _ in range(2):
        assert project.run(OFF, "--initcheck-summary=summary.md").ret == 0
    text = path.read_text()
    assert text.startswith("# Before\n\n### initcheck\n")
    assert text.count("### initcheck") == 2


def test_the_ci_gets_it_as_well(project, monkeypatch):
    project.test(test_a=RECORDS)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "job.md"))
    assert project.run(OFF, "--initcheck-summary=mine.md").ret == 0
    assert (project.path / "job.md").read_text() == (project.path / "mine.md").read_text() != ""


@pytest.mark.parametrize("way", ["option", "ini"])
def test_off_is_off(project, monkeypatch, way):
    project.test(test_a=RECORDS)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "job.md"))
    if way == "ini":
        project.pytester.makeini("[pytest]\ninitcheck_summary = off")
    assert project.run(OFF, *(["--initcheck-summary=off"] if way == "option" else [])).ret == 0
    assert not (project.path / "job.md").exists()
    assert not (project.path / "off").exists()


def test_the_ci_gets_nothing_of_a_run_without_records(project, monkeypatch):
    project.test(test_a="def test_plain(): pass")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "job.md"))
    assert project.run("--initcheck-summary=mine.md").ret == 0
    assert not (project.path / "job.md").exists()
    assert "No test recorded anything." in (project.path / "mine.md").read_text()


def test_the_ini_file_names_it_below_the_rootdir(project, monkeypatch):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]\ninitcheck_summary = out/summary.md")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    assert project.run(OFF, "--rootdir=..", "..").ret == 0
    assert (project.path / "out/summary.md").exists()


def test_report_and_notes_are_named(project):
    project.test(test_a=RECORDS)
    assert (
        project.run(
            "--initcheck-update", "--initcheck-report=r/x.html", "--initcheck-summary=s"
        ).ret
        == 0
    )
    text = (project.path / "s").read_text()
    assert "- baselines in baselines: 4 created" in text
    assert f"Report: {markdown.escaped(str(project.path))}/r/x.html" in text


def test_a_folder_that_cannot_be_written_fails_the_run(project, monkeypatch):
    project.test(test_a=RECORDS)
    folder = ci.locked(project, monkeypatch)
    result = project.run(OFF, "--initcheck-summary=locked/summary.md")
    folder.chmod(0o700)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in result.outlines if line.startswith("ERROR: summary not written")]
    assert len(lines) == 1
    assert "locked/summary.md" in lines[0]
    assert [path.stat().st_size for path in folder.iterdir()] in ([], [0])


def test_the_ci_summary_that_cannot_be_written_is_a_note(project, monkeypatch):
    project.test(test_a=RECORDS)
    (project.path / "taken").write_text("")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.path / "taken/job.md"))
    result = project.run(OFF)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["note: summary not written: */taken/job.md: *"])


def test_collecting_only_writes_nothing(project):
    project.test(test_a=RECORDS)
    assert project.run("--collect-only", "--initcheck-summary=summary.md").ret == 0
    assert not (project.path / "summary.md").exists()


def test_wrong_use(project):
    for arguments, words in (
        (["--initcheck-summary="], "ERROR: --initcheck-summary is empty*"),
        (
            ["--initcheck-summary=baselines/s.md"],
            "ERROR: --initcheck-summary lies in the folder of*",
        ),
        (["--initcheck-summary=a", "--initcheck-report=a"], "ERROR: *name one file*"),
    ):
        result = project.run(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([words])
