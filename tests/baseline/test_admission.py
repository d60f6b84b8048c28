"""What becomes no baseline: what is not healthy, guards nothing, or could not be read again."""

import pytest
from support.baseline import PROVENANCE, network

from pytest_initcheck.baseline import Baselines
from pytest_initcheck.records import Entry, Finding, RunRecord, TestRecord

NODE = "t.py::test"
FOUND = (
    Finding(
        id="IC101",
        check="zero",
        severity="error",
        layer="0",
        quantity="x",
        measured=0.0,
        limit=0.0,
        cause="",
        remedy="",
    ),
)


def unhealthy(record: RunRecord) -> Entry:
    return Entry(name="e", kind="diagnosis", record=record, verdict="fail", findings=FOUND)


def update(folder, entry: Entry, allow: str = ""):
    return Baselines(folder).update([TestRecord(nodeid=NODE, entries=(entry,))], PROVENANCE, allow)


def test_an_unhealthy_start_is_refused_and_its_baseline_stays(tmp_path):
    first = Entry(name="e", kind="diagnosis", record=network(0), verdict="pass")
    assert update(tmp_path, first).counts["created"] == 1
    before = (tmp_path / "t.json").read_bytes()
    done = update(tmp_path, unhealthy(network(1)))
    (refused,) = done.refused
    assert "not healthy (IC101)" in str(refused)
    assert "--initcheck-allow-unhealthy=REASON" in refused.reason
    assert (done.files, done.counts["refused"]) == ([], 1)
    assert (tmp_path / "t.json").read_bytes() == before


def test_an_unhealthy_start_is_stored_with_its_reason(tmp_path):
    assert update(tmp_path, unhealthy(network(1)), "the old start").refused == []
    stored = Baselines(tmp_path).stored(NODE, "e")
    assert stored.provenance["verdict"] == "fail"
    assert stored.provenance["allowed"] == "the old start"
    again = update(tmp_path, unhealthy(network(1)))
    assert (again.refused, again.counts["unchanged"]) == ([], 1)


def test_the_verdict_is_kept(tmp_path):
    update(tmp_path, Entry(name="e", kind="diagnosis", record=network(0), verdict="warn"))
    provenance = Baselines(tmp_path).stored(NODE, "e").provenance
    assert (provenance["verdict"], "allowed" in provenance) == ("warn", False)


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(),
        RunRecord(metrics={"loss": (0.0, 0.0)}),
        RunRecord(curves={"loss": ((0.0,) * 100,)}, metrics={"a": (-0.0,)}),
        RunRecord(curves={"loss": ((),)}),
    ],
)
def test_a_record_that_guards_nothing_is_refused(tmp_path, record):
    done = update(tmp_path, Entry(name="e", kind="metrics", record=record))
    assert "it guards nothing" in done.refused[0].reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(metrics={"dead": (0.0,), "loss": (0.5,)}),
        RunRecord(curves={"loss": ((0.0, 1.0),)}),
        network(0),
    ],
)
def test_one_number_that_moves_is_enough(tmp_path, record):
    done = update(tmp_path, Entry(name="e", kind="metrics", record=record))
    assert (done.refused, done.counts["created"]) == ([], 1)


@pytest.mark.parametrize("values", [((1e200, 1.0), (3e200, 1.0)), ((1e308,), (1.7e308,))])
def test_far_numbers_are_stored_or_refused_alone(tmp_path, values):
    far = Entry(name="far", kind="metrics", record=RunRecord(curves={"c": values}))
    near = Entry(name="near", kind="metrics", record=RunRecord(metrics={"m": (1.0,)}))
    done = Baselines(tmp_path).update([TestRecord(nodeid=NODE, entries=(far, near))], PROVENANCE)
    assert "near" in Baselines(tmp_path).entries(NODE)
    assert [refused.entry for refused in done.refused] in ([], ["far"])
    assert all("cannot be stored" in refused.reason for refused in done.refused)
