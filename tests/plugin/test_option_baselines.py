"""--initcheck-baselines and initcheck_baselines: which folder, or none."""

from __future__ import annotations

import pytest

RECORDS = """
    def test_records(initcheck):
        initcheck.compare("cost", 1.0)
"""


def update(project, *args):
    assert project.run("--initcheck-update", *args).ret == 0


def test_default_folder_is_below_the_root(project):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]")
    update(project)
    assert (project.path / "baselines/test_a.json").exists()
    assert project.run().ret == 0


def test_files_mirror_the_tests(project):
    project.pytester.makeini("[pytest]")
    (project.path / "suites/deep").mkdir(parents=True)
    project.pytester.makepyfile(**{"suites/deep/test_a": RECORDS})
    update(project)
    assert (project.path / "baselines/suites/deep/test_a.json").exists()


def test_ini_is_relative_to_the_root(project, monkeypatch):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]\ninitcheck_baselines = kept")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    update(project, "..")
    assert (project.path / "kept/test_a.json").exists()
    assert project.run("..").ret == 0


def test_option_is_relative_to_where_pytest_was_called(project, monkeypatch):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]\ninitcheck_baselines = kept")
    (project.path / "below").mkdir()
    monkeypatch.chdir(project.path / "below")
    update(project, "..", "--initcheck-baselines=mine")
    assert (project.path / "below/mine/test_a.json").exists()
    assert project.run("..", "--initcheck-baselines=mine").ret == 0
    assert project.run("..").ret == 1


def test_option_off_compares_with_none(project):
    project.test(test_a=RECORDS)
    assert project.run("--initcheck-baselines=off").ret == 0


def test_ini_off_compares_with_none(project):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]\ninitcheck_baselines = off")
    assert project.run().ret == 0


def test_option_goes_before_ini(project):
    project.test(test_a=RECORDS)
    project.pytester.makeini("[pytest]\ninitcheck_baselines = off")
    assert project.run("--initcheck-baselines=kept").ret == 1


def test_empty_folder_is_refused(project):
    result = project.run("--initcheck-baselines=")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --initcheck-baselines is empty*"])


def test_missing_baseline_fails_and_writes_nothing(project, workers):
    project.test(test_a=RECORDS)
    result = project.run(*workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*missing: no baseline for 'cost'*", "create: pytest *--initcheck-update*"]
    )
    assert not (project.path / "baselines").exists()


def test_changed_baseline_fails_with_both_values(project):
    project.test(test_a=RECORDS)
    update(project)
    project.test(test_a=RECORDS.replace("1.0", "1.5"))
    result = project.run()
    assert result.ret == 1
    text = result.stdout.str()
    assert "1.5" in text
    assert "--initcheck-update" in text
    for internal in ("watch.py", "plugin.py", "recorder.py"):
        assert internal not in text


@pytest.mark.parametrize("content", ["", "{", "[]", '{"format": 99}', '{"format": 1, "x": 2}'])
def test_file_that_is_no_baseline_fails_with_its_name(project, content):
    project.test(test_a=RECORDS)
    update(project)
    (project.path / "baselines/test_a.json").write_text(content)
    result = project.run()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_a.json:[0-9]*"])
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "recorder.py" not in text
    assert (project.path / "baselines/test_a.json").read_text() == content
