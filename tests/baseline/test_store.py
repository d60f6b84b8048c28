"""The folder of baselines: where files lie, what an update keeps, and that nothing is half done."""

import errno
import json
import os
import stat
import sys

import pytest
from support.baseline import PROVENANCE, network, recorded

from pytest_initcheck import BaselineError
from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import Entry, RunRecord, TestRecord

NODE = "suites/test_a.py::test_x"


def metric(value: float = 1.0) -> RunRecord:
    return RunRecord(metrics={"a": (value,)})


def entries(*names: str, value: float = 1.0) -> tuple[Entry, ...]:
    return tuple(Entry(name=name, kind="metrics", record=metric(value)) for name in names)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "baselines"


@pytest.fixture
def baselines(folder):
    return Baselines(folder)


def names(folder) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize(
    ("nodeid", "file"),
    [
        ("suites/test_a.py::TestB::test_c[x::y]", "suites/test_a.json"),
        ("test_a.py::test", "test_a.json"),
        ("../other/test_a.py::test", "_outside/other/test_a.json"),
        ("../../../../etc/test_a.py::test", "_outside/_outside/_outside/_outside/etc/test_a.json"),
        ("/abs/test_a.py::test", "_root/abs/test_a.json"),
        ("a\\test_a.py::test", "a%5Ctest_a.json"),
        ("C:/x/test_a.py::test", "C%3A/x/test_a.json"),
        ("docs/guide.txt::guide.txt", "docs/guide.txt.json"),
    ],
)
def test_files_mirror_the_test_files_and_never_leave_the_folder(baselines, folder, nodeid, file):
    assert baselines.path(nodeid) == folder / file


def test_missing_says_so_and_writes_nothing(baselines, folder):
    found = baselines.compare(NODE, "run", metric())
    assert found.status == "missing"
    assert found.file.endswith("suites/test_a.json")
    assert not folder.exists()


def test_what_was_written_matches(baselines, folder):
    record = network(0)
    written = baselines.update([recorded(record)], PROVENANCE).files
    assert written == [folder / "suites/test_a.json"]
    assert baselines.compare(NODE, "run", record).status == "match"
    assert Baselines(folder).compare(NODE, "run", record).status == "match"
    assert Baselines(folder).compare(NODE, "other", record).status == "missing"
    assert Baselines(folder).compare(NODE + "[1]", "run", record).status == "missing"


def test_the_same_update_again_changes_no_byte(baselines, folder):
    baselines.update([recorded(network(0))], PROVENANCE)
    before = (folder / "suites/test_a.json").read_bytes()
    later = {**PROVENANCE, "torch": "3.0", "time": "2030-01-01"}
    assert baselines.update([recorded(network(0))], later).files == []
    assert (folder / "suites/test_a.json").read_bytes() == before


def test_new_values_bring_the_new_provenance_without_time_and_kernel(baselines):
    baselines.update([recorded(metric(1.0))], PROVENANCE)
    later = {"torch": "3.0", "time": "2030", "platform": "Linux-6.18.44-x86_64"}
    baselines.update([recorded(metric(2.0))], later)
    stored = baselines.stored(NODE, "run")
    assert stored.provenance == {"torch": "3.0", "platform": "Linux"}
    assert stored.record.metrics == {"a": (2.0,)}


def test_an_update_leaves_other_tests_and_files_alone(baselines):
    other = "suites/test_b.py::test_y"
    first = [
        TestRecord(nodeid=NODE, entries=entries("a", "b")),
        TestRecord(nodeid=NODE + "[2]", entries=entries("a")),
        TestRecord(nodeid=other, entries=entries("a")),
    ]
    baselines.update(first, PROVENANCE)
    untouched = baselines.path(other).stat().st_mtime_ns
    baselines.update([TestRecord(nodeid=NODE, entries=entries("b", "c", value=2.0))], PROVENANCE)
    assert baselines.entries(NODE) == ("b", "c")
    assert baselines.entries(NODE + "[2]") == ("a",)
    assert baselines.path(other).stat().st_mtime_ns == untouched


def test_a_test_that_failed_halfway_loses_nothing(baselines):
    baselines.update([TestRecord(nodeid=NODE, entries=entries("a", "b"))], PROVENANCE)
    half = TestRecord(nodeid=NODE, outcome="failed", entries=entries("a", value=2.0))
    baselines.update([half, TestRecord(nodeid=NODE + "[2]", outcome="skipped")], PROVENANCE)
    assert baselines.entries(NODE) == ("a", "b")
    assert baselines.stored(NODE, "a").record.metrics["a"] == (2.0,)


def test_a_test_that_records_nothing_any_more_loses_its_file(baselines, folder):
    baselines.update([recorded(metric())], PROVENANCE)
    gone = baselines.update([TestRecord(nodeid=NODE)], PROVENANCE)
    assert (gone.files, gone.counts["dropped"]) == ([folder / "suites/test_a.json"], 1)
    assert names(folder) == []
    assert baselines.update([TestRecord(nodeid=NODE)], PROVENANCE).files == []


@pytest.mark.parametrize(
    ("content", "advice"),
    [
        (b"<<<<<<< HEAD", "initcheck baselines resolve .*test_a.json --ours"),
        (b'{"format": 99}', "written by another version"),
        (b"\xff", "UTF-8"),
    ],
)
def test_an_update_leaves_a_file_that_cannot_be_read(folder, content, advice):
    (folder / "suites").mkdir(parents=True)
    (folder / "suites/test_a.json").write_bytes(content)
    other = TestRecord(nodeid="suites/test_b.py::test_y", entries=entries("a"))
    with pytest.raises(BaselineError, match=rf"suites.test_a\.json:1: .*{advice}") as caught:
        Baselines(folder).update([other, recorded(metric())], PROVENANCE)
    assert "--initcheck-update" not in str(caught.value)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == {
        "suites/test_a.json": content
    }


def test_a_file_says_whose_tests_it_holds(baselines, folder):
    nodeid = "../v_outside/test_v1.0.py::test_x"
    baselines.update([TestRecord(nodeid=nodeid, entries=entries("a"))], PROVENANCE)
    (file,) = folder.rglob("*.json")
    assert json.loads(file.read_text())["path"] == "../v_outside/test_v1.0.py"
    assert [one.nodeid for one in Baselines(folder).listing()] == [nodeid]


def test_a_file_of_an_older_version_is_found_by_its_name(baselines, folder, tmp_path):
    baselines.update([TestRecord(nodeid="a/test_v1.0.py::t", entries=entries("a"))], PROVENANCE)
    (file,) = folder.rglob("*.json")
    file.write_text("".join(x for x in file.read_text().splitlines(True) if '"path"' not in x))
    assert Baselines(folder).entries("a/test_v1.0.py::t") == ("a",)
    (tmp_path / "a").mkdir()
    for there in ("a/test_v1.0", "a/test_v1.0.py"):
        (tmp_path / there).write_text("")
        (listed,) = Baselines(folder, tmp_path).listing()
        assert (tmp_path / listed.nodeid.partition("::")[0]).is_file()
        (tmp_path / there).unlink()


def test_a_file_that_was_moved_belongs_to_where_it_is(baselines, folder):
    baselines.update([recorded(metric())], PROVENANCE)
    (folder / "suites/test_a.json").rename(folder / "suites/test_new.json")
    again = Baselines(folder)
    moved = "suites/test_new.py::test_x"
    assert again.entries(moved) == ("run",)
    assert [one.nodeid for one in again.listing()] == [moved]
    again.update([TestRecord(nodeid=moved, entries=entries("run", value=2.0))], PROVENANCE)
    stored = json.loads((folder / "suites/test_new.json").read_text())
    assert stored["path"] == "suites/test_new.py"


def test_names_that_a_disk_takes_for_one_are_told_apart(baselines, folder):
    baselines.update([TestRecord(nodeid="test_\u00e9.py::t", entries=entries("a"))], PROVENANCE)
    # What a disk that ignores case and composition would hand out under the other name.
    (folder / "test_\u00e9.json").rename(folder / "Test_e\u0301.json")
    with pytest.raises(BaselineError, match=r"holds the baselines of test_é\.py"):
        Baselines(folder).entries("Test_e\u0301.py::t")


def test_two_test_files_that_would_share_a_file_are_refused(baselines, folder):
    both = [TestRecord(nodeid=f"{path}::t", entries=entries("a")) for path in ("x.py", "x")]
    with pytest.raises(BaselineError, match=r"is the place of both x and x\.py"):
        baselines.update(both, PROVENANCE)
    assert not folder.exists()


def test_an_update_keeps_what_fits_as_it_is(baselines):
    baselines.update([recorded(metric(1.0))], PROVENANCE)
    for value in (1.02, 1.04):
        record = metric(value)
        found = baselines.compare(NODE, "run", record, rtol=0.1)
        entry = Entry(name="run", kind="metrics", record=record, comparison=found)
        done = baselines.update([TestRecord(nodeid=NODE, entries=(entry,))], PROVENANCE)
        assert (done.files, done.counts["unchanged"]) == ([], 1)
    assert baselines.stored(NODE, "run").record.metrics == {"a": (1.0,)}


def test_listing_is_sorted(baselines):
    ids = ["t/test_b.py::b", "t/test_a.py::z", "t/test_a.py::a[1]"]
    baselines.update([TestRecord(nodeid=i, entries=entries("y", "x")) for i in ids], PROVENANCE)
    listed = [(one.nodeid, one.entry) for one in baselines.listing()]
    assert listed == sorted(listed)
    assert {nodeid for nodeid, _ in listed} == set(ids)
    assert Baselines(baselines.directory / "none").listing() == []


# Pruning


@pytest.fixture
def three(baselines):
    ids = ["s/test_a.py::x", "s/test_a.py::y", "s/deep/test_b.py::x"]
    baselines.update([TestRecord(nodeid=i, entries=entries("e")) for i in ids], PROVENANCE)
    return ids


def test_prune_deletes_what_is_gone_and_empty_files(baselines, folder, three):
    assert baselines.prune([three[1]]) == [three[2], three[0]]
    assert names(folder) == ["s/test_a.json"]
    assert not (folder / "s/deep").exists()
    assert baselines.entries(three[1]) == ("e",)


def test_prune_with_everything_alive_touches_nothing(baselines, folder, three):
    before = {name: (folder / name).stat().st_mtime_ns for name in names(folder)}
    assert baselines.prune([*three, "s/test_new.py::z"]) == []
    assert {name: (folder / name).stat().st_mtime_ns for name in names(folder)} == before


def test_a_dry_run_only_tells(baselines, folder, three):
    assert baselines.prune([], dry_run=True) == sorted(three)
    assert len(names(folder)) == 2


def test_prune_stops_at_a_file_that_cannot_be_read(baselines, folder, three):
    (folder / "s/test_z.json").write_text("{}")
    with pytest.raises(BaselineError, match=r"test_z\.json:1: "):
        Baselines(folder).prune([])
    assert len(names(folder)) == 3


def test_the_folder_itself_stays(baselines, folder, three):
    baselines.prune([])
    assert folder.is_dir()
    assert names(folder) == []


# Writing


def fail_with(code: int):
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    return fail


@pytest.mark.parametrize("step", ["replace", "fsync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    baselines, folder, monkeypatch, step, code
):
    baselines.update([recorded(metric(1.0))], PROVENANCE)
    before = (folder / "suites/test_a.json").read_bytes()
    monkeypatch.setattr(os, step, fail_with(code))
    with pytest.raises(BaselineError) as caught:
        baselines.update([recorded(metric(2.0))], PROVENANCE)
    monkeypatch.undo()
    assert "test_a.json: cannot be written: " + os.strerror(code) in str(caught.value)
    assert (folder / "suites/test_a.json").read_bytes() == before
    assert names(folder) == ["suites/test_a.json"]
    assert Baselines(folder).compare(NODE, "run", metric(1.0)).status == "match"


def test_an_interrupt_leaves_no_temporary_file(baselines, folder, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        baselines.update([recorded(metric())], PROVENANCE)
    assert names(folder) == []


def test_a_file_in_the_place_of_the_folder(folder):
    folder.write_text("here")
    with pytest.raises(BaselineError, match="cannot be written"):
        Baselines(folder).update([recorded(metric())], PROVENANCE)
    assert folder.read_text() == "here"
    assert Baselines(folder).compare(NODE, "run", metric()).status == "missing"


def test_a_folder_in_the_place_of_the_file(baselines, folder):
    (folder / "suites/test_a.json").mkdir(parents=True)
    with pytest.raises(BaselineError, match="cannot be read"):
        baselines.compare(NODE, "run", metric())
    with pytest.raises(BaselineError):
        baselines.update([recorded(metric())], PROVENANCE)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files are those of POSIX")
def test_the_mode_is_that_of_a_source_file(baselines):
    mask = os.umask(0o027)
    try:
        baselines.update([recorded(metric(1.0))], PROVENANCE)
        path = baselines.path(NODE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o664)
        baselines.update([recorded(metric(2.0))], PROVENANCE)
        assert stat.S_IMODE(path.stat().st_mode) == 0o664
    finally:
        os.umask(mask)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
@pytest.mark.parametrize("link", ["suites", "suites/test_a.json"])
def test_a_link_that_leads_out_is_not_followed(baselines, folder, tmp_path, link):
    target = tmp_path / "precious"
    target.mkdir()
    victim = target / "test_a.json" if link == "suites" else target
    (folder / link).parent.mkdir(parents=True)
    (folder / link).symlink_to(target)
    for use in (
        lambda: baselines.entries(NODE),
        lambda: baselines.update([recorded(metric())], PROVENANCE),
        lambda: baselines.update([TestRecord(nodeid=NODE)], PROVENANCE),
    ):
        with pytest.raises(BaselineError, match="link that leads out of"):
            use()
    assert (folder / link).is_symlink()
    assert victim == target or not victim.exists()
    assert list(target.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    Baselines(folder).update([recorded(metric())], PROVENANCE)
    assert (tmp_path / "elsewhere/suites/test_a.json").is_file()


def test_names_with_any_characters_are_stored(baselines):
    nodeid = 't/test_ü.py::test[é-\u2028-\ud800-"\\-<b>]'
    baselines.update([TestRecord(nodeid=nodeid, entries=entries("näme\n"))], PROVENANCE)
    again = Baselines(baselines.directory)
    assert again.entries(nodeid) == ("näme\n",)
