"""--initcheck-update: baselines of the tests that pass are written, and nothing else is."""

from __future__ import annotations

import pytest

TWO = """
    import pytest
    @pytest.mark.parametrize("i", range(2))
    def test_records(initcheck, i):
        initcheck.compare("cost", {value} + i)
"""


def files(project):
    return {p.name: p.read_text() for p in sorted((project.path / "baselines").glob("*.json"))}


def test_create_pass_change_fail_update_pass(project):
    project.test(test_a=TWO.format(value=1.0))
    assert project.run().ret == 1
    created = project.run("--initcheck-update")
    assert created.ret == 0
    created.stdout.fnmatch_lines(["*2 created, 0 updated, 0 unchanged"])
    assert project.run().ret == 0

    project.test(test_a=TWO.format(value=5.0))
    assert project.run().ret == 1
    updated = project.run("--initcheck-update")
    assert updated.ret == 0
    updated.stdout.fnmatch_lines(["*0 created, 2 updated, 0 unchanged"])
    assert project.run().ret == 0

    again = project.run("--initcheck-update")
    again.stdout.fnmatch_lines(["*0 created, 0 updated, 2 unchanged"])


def test_create_and_pass_with_files_that_do_not_depend_on_the_workers(project, workers):
    project.test(test_a=TWO.format(value=1.0), test_b=TWO.format(value=2.0))
    assert project.run("--initcheck-update").ret == 0
    found = files(project)
    for path in (project.path / "baselines").iterdir():
        path.unlink()
    created = project.run("--initcheck-update", *workers)
    assert created.ret == 0
    created.stdout.fnmatch_lines(["*4 created, 0 updated, 0 unchanged"])
    assert files(project) == found
    assert project.run(*workers).ret == 0


def test_update_of_one_test_keeps_the_others(project):
    project.test(test_a=TWO.format(value=1.0))
    project.run("--initcheck-update")
    project.test(test_a=TWO.format(value=5.0))
    assert project.run("--initcheck-update", "-k", "records[0]").ret == 0
    result = project.run()
    result.assert_outcomes(passed=1, failed=1)


def test_failed_tests_keep_their_baseline(project):
    body = """
        def test_passes(initcheck):
            initcheck.compare("cost", {value})
        def test_fails(initcheck):
            initcheck.compare("cost", {value})
            assert not {fails}
    """
    project.test(test_a=body.format(value=1.0, fails=False))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=body.format(value=2.0, fails=True))
    result = project.run("--initcheck-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*0 created, 1 updated, 0 unchanged", "*left as they are: 1 test did not pass"]
    )
    project.test(test_a=body.format(value=2.0, fails=False))
    project.run().assert_outcomes(passed=1, failed=1)


@pytest.mark.parametrize("content", ['{"format": 99}', "<<<<<<< HEAD\n{}", "{"])
def test_update_leaves_what_cannot_be_read_and_the_run_fails(project, content):
    project.test(test_a=TWO.format(value=1.0), test_b=TWO.format(value=1.0))
    project.run("--initcheck-update")
    (project.path / "baselines/test_a.json").write_text(content)
    project.test(test_b=TWO.format(value=2.0))
    before = files(project)
    result = project.run("--initcheck-update", "-k", "records[0]")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(passed=2, deselected=2)
    result.stdout.fnmatch_lines(["ERROR: baselines not written: *test_a.json:1: *"])
    assert files(project) == before


def test_what_cannot_be_read_is_a_state_of_its_own(project):
    project.test(test_a=TWO.format(value=1.0))
    project.run("--initcheck-update")
    (project.path / "baselines/test_a.json").write_text('{"format": 99}')
    result = project.run()
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(
        ["*unreadable: *test_a.json:1: *", "*an update leaves *", "baselines: 2 unreadable"]
    )
    assert "--initcheck-update" not in result.stdout.str()


def test_numbers_that_cannot_be_stored_cost_nothing_but_themselves(project):
    project.test(
        test_a="""
        def test_far(initcheck):
            initcheck.compare("m", {"c": [[1e200, 1.], [3e200, 1.]]})
        def test_near(initcheck):
            initcheck.compare("m", 1.0)
        """
    )
    result = project.run("--initcheck-update")
    assert "INTERNALERROR" not in result.stdout.str() + result.stderr.str()
    assert "1.0" in files(project)["test_a.json"]


def test_folder_that_cannot_be_written_is_one_red_line(project):
    project.test(test_a=TWO.format(value=1.0))
    (project.path / "baselines").write_text("a file in place of the folder")
    result = project.run("--initcheck-update")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in result.outlines if line.startswith("ERROR: baselines not written")]
    assert len(lines) == 1
    assert "INTERNALERROR" not in result.stdout.str()


@pytest.mark.parametrize("off", ["option", "ini"])
def test_update_without_baselines_is_a_contradiction(project, off):
    args = ["--initcheck-update"]
    if off == "option":
        args.append("--initcheck-baselines=off")
    else:
        project.pytester.makeini("[pytest]\ninitcheck_baselines = off")
    result = project.run(*args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR")]
    assert "--initcheck-update" in line
    assert ("--initcheck-baselines=off" if off == "option" else "initcheck_baselines = off") in line


def test_nothing_recorded_writes_nothing(project):
    project.test(test_a="def test_plain(initcheck): pass")
    assert project.run("--initcheck-update").ret == 0
    assert not (project.path / "baselines").exists()


def test_entry_that_is_no_longer_recorded_is_noted_then_dropped(project):
    body = """
        def test_records(initcheck):
            initcheck.compare("kept", 1.0)
            {more}
    """
    project.test(test_a=body.format(more='initcheck.compare("gone", 1.0)'))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=body.format(more=""))
    result = project.run()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["note: baselines that no test records any more: *'gone'*"])
    result = project.run("--initcheck-update")
    result.stdout.fnmatch_lines(["*0 created, 0 updated, 1 unchanged, 1 dropped"])
    assert "gone" not in files(project)["test_a.json"]


def test_update_uses_the_tolerance_of_the_test(project):
    body = """
        def test_records(initcheck):
            initcheck.compare("cost", {value}, rtol=0.5)
    """
    project.test(test_a=body.format(value=1.0))
    assert project.run("--initcheck-update").ret == 0
    project.test(test_a=body.format(value=1.2))
    result = project.run("--initcheck-update")
    result.stdout.fnmatch_lines(["*0 created, 0 updated, 1 unchanged"])


def test_what_guards_little_is_told(project):
    project.test(
        test_a="""
        def test_records(initcheck):
            initcheck.compare("m", {"accuracy": [[1.0, 1.0, 1.0]]})
        """
    )
    result = project.run("--initcheck-update")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        ["note: stored, but test_a.py::test_records: 'm': *only its level*"]
    )


def test_what_guards_nothing_is_refused(project):
    project.test(
        test_a="""
        def test_records(initcheck):
            initcheck.compare("m", {"loss": [[0.7, 0.7, 0.7]]})
        """
    )
    blocked = "*not created: it guards nothing: 'loss' is the same at every point*"
    project.run().stdout.fnmatch_lines([blocked])
    result = project.run("--initcheck-update")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["ERROR: baseline not written: *'m': it guards nothing: *"])
