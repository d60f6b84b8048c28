"""``initcheck baselines resolve``: one side of a merge conflict, if a baseline comes of it."""

import subprocess

import pytest
from support.baseline import PROVENANCE
from support.stored_runs import Y, command

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import Entry, RunRecord, TestRecord

FILE = "stored/suites/test_a.json"


def record(value: float) -> None:
    entry = Entry(name="m", kind="metrics", record=RunRecord(metrics={"a": (value,)}))
    Baselines("stored").update([TestRecord(nodeid=Y, entries=(entry,))], PROVENANCE)


def git(*words: str) -> int:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *words], check=False, capture_output=True).returncode


@pytest.fixture
def conflict(project):
    """The file as git leaves it after both sides recorded another value."""
    git("init", "-q", "-b", "mine")
    git("add", "stored")
    git("commit", "-qm", "base")
    git("branch", "other")
    record(2.0)
    git("commit", "-qam", "mine")
    git("checkout", "-q", "other")
    record(3.0)
    git("commit", "-qam", "other")
    git("checkout", "-q", "mine")
    assert git("merge", "other") != 0
    return project


@pytest.mark.parametrize(("side", "value"), [("ours", 2.0), ("theirs", 3.0)])
def test_one_side_is_taken(conflict, capsys, side, value):
    code, _, err = command(capsys, "baselines", "list")
    assert (code, "unresolved merge conflict" in err) == (2, True)
    assert f"initcheck baselines resolve {FILE} --ours" in err
    code, out, err = command(capsys, "baselines", "resolve", FILE, f"--{side}")
    assert (code, out, err) == (0, f"kept {side} in {FILE}; now: git add {FILE}\n", "")
    assert Baselines("stored").stored(Y, "m").record.metrics == {"a": (value,)}
    assert len(Baselines("stored").listing()) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "there is no merge conflict"),
        ("<<<<<<< a\n{}\n=======\n", "the last conflict has no end"),
        ("=======\n", "does not fit those before it"),
        ("<<<<<<< a\n<<<<<<< b\n", "does not fit those before it"),
        ("<<<<<<< a\n{\n=======\n}\n>>>>>>> b\n", "git checkout --ours"),
    ],
)
def test_what_cannot_be_resolved_stays(project, capsys, text, said):
    (project / FILE).write_text(text)
    code, out, err = command(capsys, "baselines", "resolve", FILE, "--ours")
    assert (code, out, said in err) == (2, "", True)
    assert (project / FILE).read_text() == text


@pytest.mark.parametrize("file", ["pytest.ini", "stored/no.json", "stored/../pytest.ini"])
def test_only_files_of_the_folder_are_touched(project, capsys, file):
    before = (project / "pytest.ini").read_text()
    assert command(capsys, "baselines", "resolve", file, "--ours")[0] == 2
    assert (project / "pytest.ini").read_text() == before
