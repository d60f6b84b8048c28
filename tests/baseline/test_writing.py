"""Writing of baselines: alone, whole, and whatever kills it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from support.baseline import PROVENANCE

from pytest_initcheck import BaselineError, files
from pytest_initcheck.baseline import Baselines, lock
from pytest_initcheck.baseline import files as store_files
from pytest_initcheck.records import Entry, RunRecord, TestRecord


def records_of(*nodeids: str, value: float = 1.0) -> list[TestRecord]:
    record = RunRecord(metrics={"a": (value,)})
    entries = (Entry(name="m", kind="metrics", record=record),)
    return [TestRecord(nodeid=nodeid, entries=entries) for nodeid in nodeids]


def names(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def test_names_stand_in_the_file_as_they_are(tmp_path):
    """A diff is read by people."""
    record = RunRecord(metrics={"größe": (1.0,)})
    entries = (Entry(name="Übung 1", kind="metrics", record=record),)
    Baselines(tmp_path).update([TestRecord(nodeid="t.py::test_a", entries=entries)], {})
    text = (tmp_path / "t.json").read_text(encoding="utf-8")
    assert '"größe"' in text
    assert '"Übung 1"' in text


WRITER = """
import sys
from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import Entry, RunRecord, TestRecord
folder, who = sys.argv[1:]
for i in range(12):
    record = RunRecord(metrics={"a": (float(i + 1),)})
    entries = (Entry(name="m", kind="metrics", record=record),)
    tests = [TestRecord(nodeid=f"t.py::test_{who}_{i}", entries=entries)]
    Baselines(folder).update(tests, {})
"""


def test_sessions_that_write_one_file_at_once_lose_nothing(tmp_path):
    folder = tmp_path / "baselines"
    words = [sys.executable, "-c", WRITER, str(folder)]
    running = [subprocess.Popen([*words, who]) for who in ("a", "b", "c")]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    stored = json.loads((folder / "t.json").read_text())["tests"]
    assert len(stored) == 3 * 12
    assert names(folder) == ["t.json"]


def test_who_waits_reads_what_the_other_wrote(tmp_path):
    folder = tmp_path / "baselines"
    mine, other = Baselines(folder), Baselines(tmp_path / "other")
    other.update(records_of("t.py::b"), PROVENANCE)
    assert mine.entries("t.py::a") == ()
    waiting = threading.Thread(target=lambda: mine.update(records_of("t.py::a"), PROVENANCE))
    with lock.held(folder):
        waiting.start()
        waiting.join(0.2)
        assert waiting.is_alive()
        (tmp_path / "other/t.json").rename(folder / "t.json")
    waiting.join(20)
    assert set(json.loads((folder / "t.json").read_text())["tests"]) == {"a", "b"}


def test_who_does_not_let_go_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "LONGEST_WAIT", 0.1)
    with (
        lock.held(tmp_path / "b"),
        pytest.raises(BaselineError, match="another process"),
        lock.held(tmp_path / "b"),
    ):
        pass


def test_a_folder_into_which_nothing_came_is_not_left(tmp_path):
    with lock.held(tmp_path / "deep/baselines"):
        assert (tmp_path / "deep/baselines").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_another_process_removes_at_once_is_made_again(tmp_path, monkeypatch):
    opened, removed = lock._opened, []

    def remove_first(folder):
        if not removed:
            removed.append(folder)
            folder.rmdir()
            folder.parent.rmdir()
        return opened(folder)

    monkeypatch.setattr(lock, "_opened", remove_first)
    with lock.held(tmp_path / "deep/baselines"):
        (tmp_path / "deep/baselines/t.json").write_text("")
    assert removed
    assert (tmp_path / "deep/baselines/t.json").exists()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path, monkeypatch):
    def gone(folder):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(lock, "_opened", gone)
    monkeypatch.setattr(lock, "_PAUSE", 0.0)
    with pytest.raises(BaselineError, match="cannot be written"), lock.held(tmp_path / "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    baselines = Baselines(tmp_path)
    baselines.update(records_of("s/t.py::a"), PROVENANCE)
    stray = files.stage(tmp_path / "s/t.json", b"half").temporary
    own = tmp_path / "s/.mine.tmp"
    own.write_text("no temporary file of ours")
    baselines.update(records_of("u.py::a"), PROVENANCE)
    assert (stray.exists(), own.exists()) == (False, True)


@pytest.mark.parametrize("failing", [1, 2])
def test_an_update_that_cannot_be_staged_changes_no_file(tmp_path, monkeypatch, failing):
    baselines, nodeids = Baselines(tmp_path), ["a.py::t", "deep/b.py::t"]
    baselines.update(records_of(nodeids[0]), PROVENANCE)
    before = (tmp_path / "a.json").read_bytes()
    synced = []

    def fsync(handle: int) -> None:
        synced.append(handle)
        if len(synced) == failing:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BaselineError, match="cannot be written: No space left"):
        baselines.update(records_of(*nodeids, value=2.0), PROVENANCE)
    assert (tmp_path / "a.json").read_bytes() == before
    assert names(tmp_path) == ["a.json"]
    assert not (tmp_path / "deep").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such signal to send")
def test_an_interrupt_waits_until_all_files_are_in_place(tmp_path, monkeypatch, request):
    replace, nodeids = os.replace, ["a.py::t", "b.py::t", "c.py::t"]
    # A process in the background of a shell starts with interrupts switched off.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))

    def interrupted(*paths: str) -> None:
        replace(*paths)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        Baselines(tmp_path).update(records_of(*nodeids), PROVENANCE)
    assert names(tmp_path) == ["a.json", "b.json", "c.json"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(store_files, "MOST_BYTES", 10 << 20)
    with (tmp_path / "t.json").open("wb") as file:
        file.truncate(11 << 20)
    with pytest.raises(BaselineError, match="it has 11 MB, a baseline has at most 10"):
        Baselines(tmp_path).entries("t.py::a")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "t.json")
    with pytest.raises(BaselineError, match="no regular file"):
        Baselines(tmp_path).entries("t.py::a")
