"""--initcheck-sarif: a log as the standard wants it, with rules, places and layers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support import ci
from support.sarif_rules import faults

from pytest_initcheck.checks import rules
from pytest_initcheck.report.problems import Place
from pytest_initcheck.report.sarif import sarif


def log(project, path="out/log.sarif"):
    return json.loads((project.path / path).read_text(encoding="utf-8"))


def test_findings_and_changes_are_results(models, workers):
    ci.faulty(models)
    result = models.run("--initcheck-sarif=out/log.sarif", *workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    found = log(models)
    assert faults(found) == []
    (run,) = found["runs"]
    by_rule = {one["ruleId"]: one for one in run["results"]}
    zero, changed = by_rule["IC101"], by_rule["baseline-changed"]
    (place,) = zero["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "test_a.py"
    assert place["physicalLocation"]["region"] == {"startLine": 3}
    (layer,) = place["logicalLocations"]
    assert layer["kind"] == "layer"
    assert layer["fullyQualifiedName"].startswith("test_a.py::test_zero::")
    assert zero["level"] == changed["level"] == "error"
    assert "cost" in changed["message"]["text"]
    (rule,) = [rule for rule in run["tool"]["driver"]["rules"] if rule["id"] == "IC101"]
    assert rule["shortDescription"]["text"] == "Zero weights without gradient."
    assert rule["name"] == "ZeroWeightsWithoutGradient"


def test_a_run_without_faults_closes_the_alerts_of_the_last(project):
    project.test(test_a="def test_plain(): pass")
    assert project.run("--initcheck-sarif=out/log.sarif").ret == 0
    found = log(project)
    assert faults(found) == []
    assert found["runs"][0]["results"] == []


def test_a_folder_that_cannot_be_written_fails_the_run(project, monkeypatch):
    project.test(test_a="def test_a(initcheck): initcheck.compare('cost', 1.0)")
    folder = ci.locked(project, monkeypatch)
    result = project.run("--initcheck-baselines=off", "--initcheck-sarif=locked/log.sarif")
    folder.chmod(0o700)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    lines = [line for line in result.outlines if line.startswith("ERROR: SARIF not written")]
    assert len(lines) == 1
    assert "locked/log.sarif" in lines[0]
    assert list(folder.iterdir()) == []


def test_wrong_use(project):
    for arguments, words in (
        (["--initcheck-sarif="], "ERROR: --initcheck-sarif is empty*"),
        (["--initcheck-sarif=baselines/s"], "ERROR: --initcheck-sarif lies in the folder of*"),
        (["--initcheck-sarif=a", "--initcheck-summary=a"], "ERROR: *name one file*"),
    ):
        result = project.run(*arguments)
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        result.stderr.fnmatch_lines([words])


def made(session, places=None, documentation=""):
    places = {ci.NODEID: Place("tests/test a#1.py", 7)} if places is None else places
    return json.loads(sarif(session, places, rules(), documentation))


def results(session, **more):
    return made(session, **more)["runs"][0]["results"]


def test_hostile_names_make_a_valid_log():
    bad = 'a"\\\ud800\n<b>'
    session = ci.session(ci.finding(layer=bad, cause=bad), name=bad)
    found = made(session)
    assert faults(found) == []
    (place,) = found["runs"][0]["results"][0]["locations"]
    assert place["physicalLocation"]["artifactLocation"]["uri"] == "tests/test%20a%231.py"


def test_names_that_utf_8_cannot_hold():
    bad = "test_\udc80.py"
    session = ci.session(ci.finding(id="TEAM1", check=bad, layer=bad, cause=bad), name=bad)
    text = sarif(session, {ci.NODEID: Place(bad, 1)}, rules())
    assert faults(json.loads(text)) == []
    assert "\\ud" not in text.replace("\\\\", "")
    assert '"uri": "test_%80.py"' in text


def test_files_outside_of_the_repository_and_tests_without_a_place():
    places = {ci.NODEID: Place("/elsewhere/test_a.py", 1)}
    found = made(ci.session(ci.finding()), places)
    assert faults(found) == []
    assert faults(made(ci.session(ci.finding()), {})) == []
    assert Path("/elsewhere/test_a.py").as_uri() in json.dumps(found)


def test_levels_and_suppressions():
    ignored = ci.finding(ignored="as in the paper")
    first, second, third = results(
        ci.session(ci.finding(severity="info"), ci.finding(severity="warning"), ignored=(ignored,))
    )
    assert (first["level"], second["level"]) == ("note", "warning")
    assert "suppressions" not in first
    assert third["suppressions"] == [{"kind": "inSource", "justification": "as in the paper"}]


def test_a_fingerprint_is_of_the_fault_and_not_of_the_numbers():
    def marks(**more):
        return results(ci.session(ci.finding(**more)))[0]["partialFingerprints"]

    assert marks(measured=1.0) == marks(measured=0.9)
    assert len({marks(**more)["initcheck/v1"] for more in ({}, {"layer": "1"}, {"id": "IC1"})}) == 3


def test_two_findings_of_one_rule_at_one_layer_are_two_alerts():
    twice = results(ci.session(ci.finding(quantity="a"), ci.finding(quantity="b")))
    lines = [one["partialFingerprints"]["primaryLocationLineHash"] for one in twice]
    assert [line.partition(":")[2] for line in lines] == ["1", "2"]


def test_a_rule_of_a_team_is_told_by_its_finding():
    found = made(ci.session(ci.finding(id="TEAM1", check="ours", cause="because")))
    assert faults(found) == []
    (rule,) = found["runs"][0]["tool"]["driver"]["rules"]
    assert (rule["id"], rule["fullDescription"]["text"]) == ("TEAM1", "Because.")
    assert rule["help"]["text"] == "Because. Draw them."
    assert "helpUri" not in rule


def test_rules_name_the_page_where_there_is_one():
    session = ci.session(ci.finding(), comparison=ci.changed())
    found = made(session, documentation="https://docs.example/stable/")
    assert faults(found) == []
    assert {rule["helpUri"] for rule in found["runs"][0]["tool"]["driver"]["rules"]} == {
        "https://docs.example/stable/checks.md#ic101-zero-weights-without-gradient",
        "https://docs.example/stable/baselines.md",
    }


@pytest.mark.parametrize(
    ("path", "value", "section"),
    [
        (("version",), "2.0", "3.13.2"),
        (("runs", 0, "tool", "driver", "name"), "", "3.19.8"),
        (("runs", 0, "tool", "driver", "rules", 0, "help"), {}, "3.12.3"),
        (("runs", 0, "results", 0, "ruleIndex"), 1, "3.27.6"),
        (("runs", 0, "results", 0, "level"), "info", "3.27.10"),
        (("runs", 0, "results", 0, "message"), {"text": ""}, "3.11.7"),
        (("runs", 0, "results", 0, "file"), "a", "additionalProperties"),
    ],
)
def test_the_requirements_notice_what_is_wrong(path, value, section):
    found = made(ci.session(ci.finding()))
    assert faults(found) == []
    *way, last = path
    place = found
    for step in way:
        place = place[step]
    place[last] = value
    assert [fault.partition(":")[0] for fault in faults(found)] == [section]
