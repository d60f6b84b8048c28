"""--initcheck-annotations: workflow commands on GitHub Actions, and nowhere else."""

from __future__ import annotations

import pytest
from support import ci

from pytest_initcheck.report.problems import Place
from pytest_initcheck.report.workflow_commands import MOST, annotation_lines

PLACES = {ci.NODEID: Place("tests/a,b:c%.py", 7)}


def commands(result):
    return [line for line in result.outlines if line.startswith("::")]


def test_lines_of_failed_health_and_changed_baselines(models, workers, monkeypatch):
    ci.faulty(models)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    zero, other = commands(models.run(*workers))
    assert zero.startswith(
        "::error file=test_a.py,line=3,title=IC101 in test_a.py%3A%3Atest_zero::"
    )
    assert "fix: " in zero
    assert other.startswith("::error file=test_a.py,line=11,title=baseline-changed in test_a.py")
    assert "cost: baseline changed: " in other


def test_none_elsewhere(models, monkeypatch):
    ci.faulty(models)
    assert commands(models.run()) == []
    monkeypatch.setenv("GITHUB_ACTIONS", "false")
    assert commands(models.run()) == []


@pytest.mark.parametrize("way", ["option", "ini"])
def test_they_can_be_switched_off(models, monkeypatch, way):
    ci.faulty(models)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    if way == "ini":
        models.pytester.makeini("[pytest]\ninitcheck_annotations = off")
    assert commands(models.run(*(["--initcheck-annotations=off"] if way == "option" else []))) == []


def test_the_option_wins_over_the_ini_file(models, monkeypatch):
    ci.faulty(models)
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    models.pytester.makeini("[pytest]\ninitcheck_annotations = off")
    assert len(commands(models.run("--initcheck-annotations=auto"))) == 2


def test_files_are_named_from_the_root_of_the_repository(project, monkeypatch):
    (project.path / ".git").mkdir()
    below = project.path / "package"
    below.mkdir()
    (below / "pytest.ini").write_text("[pytest]\n")
    (below / "test_a.py").write_text("def test_a(initcheck): initcheck.compare('cost', 1.0)\n")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    (line,) = commands(project.run("package"))
    assert line.startswith("::error file=package/test_a.py,line=1,title=baseline-missing in ")


def test_an_unknown_value_is_refused(project):
    project.pytester.makeini("[pytest]\ninitcheck_annotations = never")
    result = project.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: initcheck_annotations = never: must be one of auto, off"])


def test_what_the_runner_reads_is_escaped():
    finding = ci.finding(layer="a\n::set-env name=x::y", cause="100 % of\r\nit")
    (line,) = annotation_lines(ci.session(finding), PLACES)
    assert "\n" not in line
    head, _, text = line[2:].partition("::")
    assert head.startswith("error file=tests/a%2Cb%3Ac%25.py,line=7,title=IC101 in ")
    assert "100 %25 of it" in text
    assert not any(part.startswith("::") for part in line.splitlines()[1:])


def test_ten_at_most_and_then_how_many_are_left():
    found = [ci.finding(layer=str(i)) for i in range(MOST + 3)]
    lines = annotation_lines(ci.session(*found), PLACES)
    assert len(lines) == MOST + 1
    assert lines[-1] == "::notice title=initcheck::and 3 more findings or changed baselines"


def test_what_fails_no_test_is_a_warning_and_what_is_ignored_is_nothing():
    made = ci.session(ci.finding(), outcome="passed", ignored=(ci.finding(ignored="why"),))
    (line,) = annotation_lines(made, PLACES)
    assert line.startswith("::warning ")
    assert annotation_lines(ci.session(ci.finding(severity="warning")), PLACES) == []
