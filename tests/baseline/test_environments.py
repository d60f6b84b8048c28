"""One entry, several environments: which record is held against which, and what an update keeps."""

import dataclasses
import json
import math

import pytest
from support.baseline import PROVENANCE, network, recorded

from pytest_initcheck import BaselineError
from pytest_initcheck.baseline import Baselines, Environment, freeze
from pytest_initcheck.baseline.environment import Kept
from pytest_initcheck.baseline.format import parse_file, render
from pytest_initcheck.records import Entry, RunRecord, TestRecord

NODE = "suites/test_a.py::test_x"
CPU = {**PROVENANCE, "torch": "2.14.1"}
NEWER = {**PROVENANCE, "torch": "2.15.0+cu130"}
GPU = {**PROVENANCE, "torch": "2.14.1", "device": "cuda"}


def on(device: str, value: float = 1.0, capability: str = "") -> RunRecord:
    known = {"device": device, **({"capability": capability} if capability else {})}
    return RunRecord(metrics={"a": (value,)}, meta=known)


@pytest.fixture
def baselines(tmp_path):
    return Baselines(tmp_path)


def text(baselines: Baselines) -> str:
    return baselines.path(NODE).read_text()


@pytest.mark.parametrize(
    ("meta", "provenance", "said"),
    [
        ({"device": "cpu"}, {"torch": "2.14.1+cu130"}, "cpu torch 2.14"),
        ({"device": "cuda:1", "capability": "sm_90"}, {"torch": "2.9"}, "cuda sm_90 torch 2.9"),
        ({"device": "cpu"}, {"device": "cpu, cuda", "torch": "2.14"}, "cpu torch 2.14"),
        ({}, {"device": "cpu, cuda", "torch": "2.14"}, "torch 2.14"),
        ({}, {"device": "cuda", "capability": "sm_80"}, "cuda sm_80"),
        ({}, {"torch": "not installed"}, "unknown"),
    ],
)
def test_what_an_environment_is(meta, provenance, said):
    assert str(Environment.of(RunRecord(meta=meta), provenance)) == said


@pytest.mark.parametrize(
    ("wanted", "nearest"),
    [
        (("cpu", "", "2.14"), ("cpu", "", "2.14")),
        (("cpu", "", "2.15"), ("cpu", "", "2.14")),
        (("cpu", "", "2.10"), ("cpu", "", "2.9")),
        (("cpu", "", "3.0"), ("cpu", "", "2.14")),
        (("cuda", "sm_90", "2.14"), ("cuda", "sm_90", "2.9")),
        (("cuda", "sm_80", "2.14"), ("cuda", "sm_90", "2.9")),
        (("mps", "", "2.9"), ("cpu", "", "2.9")),
        (("", "", "2.9"), ("cpu", "", "2.9")),
        (("", "", ""), ("cpu", "", "2.14")),
    ],
)
def test_the_nearest_has_the_same_device_then_its_capability_then_the_nearest_torch(
    wanted, nearest
):
    known = [("cpu", "", "2.14"), ("cpu", "", "2.9"), ("cuda", "sm_90", "2.9")]
    stored = {one: freeze(on(one[0], 1.0, one[1]), {"torch": one[2]}) for one in map(tuple, known)}
    assert Kept.only(*stored.values()).nearest(Environment(*wanted)) == stored[nearest]


def test_an_update_elsewhere_keeps_what_is_there(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    done = baselines.update([recorded(on("cuda", 2.0, "sm_90"))], GPU)
    assert (done.counts["created"], done.counts["dropped"]) == (1, 0)
    told = [(str(one.environment), one.stored.record.metrics["a"]) for one in baselines.listing()]
    assert told == [("cpu torch 2.14", (1.0,)), ("cuda sm_90 torch 2.14", (2.0,))]
    for record, own in ((on("cpu"), CPU), (on("cuda", 2.0, "sm_90"), GPU)):
        found = baselines.compare(NODE, "run", record, provenance=own)
        assert (found.status, found.bit_identical, found.notes) == ("match", True, ())


def test_one_environment_is_not_named_in_the_file_and_several_are(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    assert "environments" not in text(baselines)
    baselines.update([recorded(on("cpu", 2.0))], NEWER)
    data = json.loads(text(baselines))["tests"]["test_x"]["run"]
    assert list(data) == ["environments"]
    assert list(data["environments"]) == ["cpu torch 2.14", "cpu torch 2.15"]
    content = parse_file(text(baselines), "a")
    assert render(content.tests, content.path) == text(baselines)


def test_without_a_record_of_its_own_the_nearest_is_taken_and_said(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    newer = baselines.compare(NODE, "run", on("cpu"), provenance=NEWER)
    assert (newer.status, newer.environment, newer.bit_identical) == (
        "match",
        "cpu torch 2.14",
        None,
    )
    assert newer.notes == (
        "there is no baseline of cpu torch 2.15 yet; compared with that of cpu torch 2.14",
    )
    other = baselines.compare(NODE, "run", on("cuda"), provenance=GPU)
    assert other.bit_identical is None
    assert other.notes == ("the baseline was recorded on cpu, this run is on cuda",)


def test_equal_to_the_last_digit_takes_no_record_of_its_own(baselines):
    baselines.update([recorded(network(0))], CPU)
    assert baselines.update([recorded(network(0))], NEWER).files == []


def test_the_same_environment_is_written_in_place(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    baselines.update([recorded(on("cpu", 2.0))], {**CPU, "torch": "2.14.2"})
    (one,) = baselines.listing()
    assert (one.stored.record.metrics["a"], one.stored.provenance["torch"]) == ((2.0,), "2.14.2")


def test_what_fits_within_chance_is_no_bit_for_bit(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    found = baselines.compare(NODE, "run", on("cpu", 1.00001), provenance=CPU)
    assert (found.status, found.bit_identical) == ("match", False)


def both(*names: str, device: str, value: float = 1.0) -> list[TestRecord]:
    entries = (Entry(name=name, kind="metrics", record=on(device, value)) for name in names)
    return [TestRecord(nodeid=NODE, entries=tuple(entries))]


def test_what_a_test_records_no_more_is_dropped_here_alone(baselines):
    baselines.update(both("a", "b", device="cpu"), CPU)
    baselines.update(both("a", "b", "c", device="cuda", value=2.0), GPU)
    done = baselines.update(both("a", device="cpu"), CPU)
    assert done.counts["dropped"] == 1
    assert baselines.entries(NODE, "cpu") == ("a",)
    assert baselines.entries(NODE, "cuda") == baselines.entries(NODE) == ("a", "b", "c")


def test_an_older_torch_does_not_drop_what_a_newer_one_records(baselines):
    baselines.update(both("a", "b", device="cpu"), NEWER)
    baselines.update(both("a", device="cpu", value=2.0), CPU)
    assert baselines.entries(NODE) == ("a", "b")
    baselines.update(both("a", device="cpu"), NEWER)
    assert baselines.entries(NODE) == ("a",)


def test_a_variant_is_compared_with_nothing_else(baselines):
    baselines.update([recorded(on("cpu"))], CPU)
    missing = baselines.compare(NODE, "run", on("cpu"), provenance=CPU, variant="cuda")
    assert missing.status == "missing"
    assert missing.notes == ("none of 'cuda'; there are: cpu torch 2.14",)
    baselines.update([recorded(on("cuda", 2.0))], GPU)
    found = baselines.compare(NODE, "run", on("cpu", 2.0), provenance=CPU, variant="cuda")
    assert (found.status, found.environment) == ("match", "cuda torch 2.14")


def test_environments_are_pruned_by_their_words(baselines):
    baselines.update(both("a", "b", device="cpu"), CPU)
    baselines.update(both("a", "b", device="cpu", value=2.0), NEWER)
    assert baselines.prune_environment("cuda") == []
    gone = [f"{NODE}: 'a': cpu torch 2.14", f"{NODE}: 'b': cpu torch 2.14"]
    before = text(baselines)
    assert baselines.prune_environment("torch 2.14", dry_run=True) == gone
    assert text(baselines) == before
    assert baselines.prune_environment("torch 2.14") == gone
    assert [str(one.environment) for one in baselines.listing()] == ["cpu torch 2.15"] * 2
    assert baselines.stored(NODE, "a").record.metrics["a"] == (2.0,)
    baselines.prune_environment("cpu")
    assert not baselines.path(NODE).exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"cpu torch 2.14"', '"cpu torch 2.13"', "the record of 'cpu torch 2.14'"),
        ('"environments"', '"environment"', "no field 'environment'"),
        ('"cpu torch 2.14":{', '"cpu torch 2.14":7,"x":{', "an object"),
    ],
)
def test_a_wrong_environment_is_found(baselines, old, new, said):
    baselines.update([recorded(on("cpu"))], CPU)
    baselines.update([recorded(on("cpu", 2.0))], NEWER)
    with pytest.raises(BaselineError, match=said):
        parse_file(text(baselines).replace(old, new, 1), "a")


def test_an_entry_of_no_environment_is_found():
    with pytest.raises(BaselineError, match="expected a record, found none"):
        parse_file('{"format":2,"tests":{"t":{"e":{"environments":{}}}}}', "a")


def test_the_verdicts_are_in_the_record_of_the_run(baselines):
    baselines.update([recorded(network(0))], CPU)
    found = baselines.compare(NODE, "run", network(0), provenance=CPU)
    assert dataclasses.asdict(found)["bit_identical"] is True


def test_bit_for_bit_is_no_matter_of_order_or_of_what_is_no_number(baselines):
    record = dataclasses.replace(network(0), metrics={"a": (math.nan, 1.0)})
    turned = dataclasses.replace(record.before, layers=record.before.layers[::-1])
    baselines.update([recorded(record)], CPU)
    found = baselines.compare(NODE, "run", dataclasses.replace(record, before=turned))
    assert found.bit_identical


def test_another_capability_is_another_environment_and_said_once(baselines):
    baselines.update([recorded(on("cuda", 1.0, "sm_80"))], GPU)
    found = baselines.compare(NODE, "run", on("cuda", 1.0, "sm_90"), provenance=GPU)
    assert (found.status, found.bit_identical) == ("match", None)
    assert found.notes == (
        "there is no baseline of cuda sm_90 torch 2.14 yet; compared with that of cuda sm_80 torch "
        "2.14",
    )
