"""What becomes no baseline: what is not healthy, guards nothing, or could not be read again."""

import dataclasses
import math

import pytest
from support.baseline import PROVENANCE, network, stats

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


def without_gradients(record: RunRecord, *layers: int) -> RunRecord:
    """The record with gradients of zero in these layers of its model, at both looks."""
    zero = stats([0.0] * 8)
    made = [
        dataclasses.replace(layer, gradients=dict.fromkeys(layer.gradients, zero))
        if i in layers
        else layer
        for i, layer in enumerate(record.before.layers)
    ]
    look = dataclasses.replace(record.before, layers=tuple(made))
    return dataclasses.replace(record, before=look, after=look)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (RunRecord(), "there is no number in it"),
        (RunRecord(metrics={"a": (math.nan,)}), "no number of it is finite"),
        (RunRecord(curves={"loss": ((0.7,) * 3,)}), "'loss' is the same at every point"),
        (
            RunRecord(curves={"train_loss": ((0.7,) * 9, (0.8,) * 9), "loss": ((1.0,) * 9,)}),
            "'train_loss' and 'loss' are the same at every point",
        ),
        (
            RunRecord(curves={"loss": ((0.7,) * 9,)}, metrics={"dead": (0.0,)}),
            "'loss' is the same at every point",
        ),
        (without_gradients(network(0), 0, 1, 2), "every gradient of it is zero"),
    ],
)
def test_what_no_fault_can_change_is_refused_with_the_reason(tmp_path, record, why):
    done = update(tmp_path, Entry(name="e", kind="run", record=record, verdict="warn"))
    (refused,) = done.refused
    assert f"it guards nothing: {why}" in refused.reason
    assert "record something that moves" in refused.reason
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("record", "doubt"),
    [
        # A fault takes a score from where it stays.
        (
            RunRecord(curves={"accuracy": ((1.0,) * 9,)}),
            "curve 'accuracy' is 1 at each of its 9 points: only its level is guarded",
        ),
        (
            RunRecord(curves={"loss": ((0.7,) * 9,)}, metrics={"accuracy": (0.9,)}),
            "curve 'loss' is 0.7 at each of its 9 points: only its level is guarded",
        ),
        # In half precision a loss may stay for a few steps, with gradients that do not.
        (
            dataclasses.replace(network(0), curves={"loss": ((0.75,) * 5,)}),
            "curve 'loss' is 0.75 at each of its 5 points: only its level is guarded",
        ),
        (
            without_gradients(network(0), 1),
            "no gradient reaches 'layers.1' before or after the steps",
        ),
    ],
)
def test_what_guards_little_is_stored_and_told(tmp_path, record, doubt):
    entry = Entry(name="e", kind="run", record=record)
    done = update(tmp_path, entry)
    assert (done.refused, done.counts["created"]) == ([], 1)
    assert done.doubts == [f"{NODE}: 'e': {doubt}"]
    assert update(tmp_path, entry).doubts == []


def test_an_unhealthy_start_that_was_allowed_may_be_without_gradients(tmp_path):
    dead = unhealthy(without_gradients(network(0), 0, 1, 2))
    assert update(tmp_path, dead, "the old start").refused == []


@pytest.mark.parametrize(
    "record",
    [
        RunRecord(metrics={"dead": (0.0,), "loss": (0.5,)}),
        RunRecord(curves={"loss": ((0.7, 0.7),)}),
        RunRecord(curves={"loss": ((0.7,) * 9, (0.7, 0.6, 0.5))}),
        RunRecord(curves={"loss": ((0.0, 1.0),)}),
        network(0),
    ],
)
def test_one_number_that_moves_is_enough(tmp_path, record):
    done = update(tmp_path, Entry(name="e", kind="metrics", record=record))
    assert (done.refused, done.doubts, done.counts["created"]) == ([], [], 1)


@pytest.mark.parametrize("values", [((1e200, 1.0), (3e200, 1.0)), ((1e308,), (1.7e308,))])
def test_far_numbers_are_stored_or_refused_alone(tmp_path, values):
    far = Entry(name="far", kind="metrics", record=RunRecord(curves={"c": values}))
    near = Entry(name="near", kind="metrics", record=RunRecord(metrics={"m": (1.0,)}))
    done = Baselines(tmp_path).update([TestRecord(nodeid=NODE, entries=(far, near))], PROVENANCE)
    assert "near" in Baselines(tmp_path).entries(NODE)
    assert [refused.entry for refused in done.refused] in ([], ["far"])
    assert all("cannot be stored" in refused.reason for refused in done.refused)
