"""The workflow files in examples/ci: every command but the installation is run as it stands."""

from __future__ import annotations

import json
import re
import shlex
import shutil

import pytest
from support.example_copy import EXAMPLES, Copy, alone, run_together
from support.sarif_rules import faults

WORKFLOWS = sorted((EXAMPLES / "ci").glob("*.yml"))
INSTALLS = ("pip install ",)
# What a broken start does to a command is the same in both.
RUNS = [*((path, "sound") for path in WORKFLOWS), (WORKFLOWS[0], "broken")]
WEIGHTS = 'nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")'


def commands(text):
    """What the file's steps run: ``run:`` of GitHub, the lists below ``script:`` of GitLab."""
    found = re.findall(r"^\s*- run: (.+)$", text, re.MULTILINE)
    for block in re.findall(r"^ +(?:before_)?script:\n((?: +- .+\n)+)", text, re.MULTILINE):
        found += [line.strip().removeprefix("- ") for line in block.splitlines()]
    return found


def without_installation(path):
    return [line for line in commands(path.read_text()) if not line.startswith(INSTALLS)]


def words(path, program):
    """What a file's steps tell a program, command by command."""
    found = map(shlex.split, without_installation(path))
    return [arguments for name, *arguments in found if name == program]


@pytest.fixture(scope="module")
def copies(tmp_path_factory, python_server):
    """Copies of the example, sound and broken, after the tests that a workflow runs."""
    made = {run: Copy(tmp_path_factory.mktemp("copy")) for run in RUNS}
    for (_, state), copy in made.items():
        if state == "broken":
            copy.change(WEIGHTS, "nn.init.zeros_(layer.weight)")
    runs = [(copy, *words(path, "pytest")) for (path, _), copy in made.items()]
    run_together(runs, python_server.executable)
    return made


def test_each_workflow_runs_the_tests_and_keeps_the_report_also_after_a_failure():
    assert [path.name for path in WORKFLOWS] == ["github-actions.yml", "gitlab-ci.yml"]
    for path in WORKFLOWS:
        text = path.read_text()
        (tests,) = [line for line in without_installation(path) if line.startswith("pytest ")]
        assert "--initcheck-report=report/index.html" in tests
        if path.name.startswith("github"):
            steps = re.split(r"\n      - ", text)
            uploads = [step for step in steps if "uses: " in step and "upload-" in step]
            assert len(uploads) == 2
            assert all(step.startswith("if: always()") for step in uploads)
            assert "path: report/" in uploads[0]
        else:
            _, *jobs = re.split(r"\n(?=\w+:\n)", text)
            assert len(jobs) == 2
            assert all("when: always" in job and "- report/" in job for job in jobs)


@pytest.mark.parametrize(("path", "state"), RUNS, ids=lambda given: getattr(given, "stem", given))
def test_every_command(copies, python_server, path, state):
    example = copies[path, state]
    output = example.output()
    assert output.endswith(f"pytest ended with {int(state == 'broken')}"), output
    for arguments in words(path, "initcheck"):
        if arguments[0] == "history":
            for day in ("1", "2"):
                shutil.copytree(example.folder / "report", example.folder / "runs" / day)
            later(example.folder / "runs/2/run.json")
        command = ["-m", "pytest_initcheck.cli", *arguments]
        done = alone(command, example.folder, python_server.executable)
        assert done.returncode == 0, done.stdout + done.stderr
    commands = without_installation(path)
    assert len(commands) == len(words(path, "pytest")) + len(words(path, "initcheck"))
    for named in re.findall(r"(?:=|--plot )(report/\S+)", "\n".join(commands)):
        assert (example.folder / named).stat().st_size > 0, named
    log = json.loads((example.folder / "report/initcheck.sarif").read_text())
    assert faults(log) == []
    rules = {result["ruleId"] for result in log["runs"][0]["results"]}
    assert ("IC101" in rules) == (state == "broken")


def later(file):
    """A second run that differs in one number, so that there is something to draw."""
    data = json.loads(file.read_text())
    data["provenance"]["time"] = "2100-01-01T00:00:00+00:00"
    entry = data["tests"][0]["entries"][0]
    entry["record"].setdefault("metrics", {})["added"] = [1.0]
    file.write_text(json.dumps(data))
