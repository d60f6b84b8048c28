"""The short form of an entry: small, without loss, and strict about damage."""

import dataclasses
import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.baseline import PROVENANCE, network, recorded, records, stats
from torch import nn

from pytest_initcheck import BaselineError, diagnose
from pytest_initcheck.baseline import Baselines, compare, counts, freeze, schema
from pytest_initcheck.baseline.format import parse, render, render_long
from pytest_initcheck.baseline.layout import tensors
from pytest_initcheck.baseline.split_numbers import join, split
from pytest_initcheck.records import (
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    TensorStats,
)

NODE = "suites/test_a.py::test_x"
_counts = st.lists(st.integers(0, 10**9) | st.integers(0, 3), min_size=1, max_size=40)


def diagnosed(model: nn.Module, *shape: int, classes: int) -> RunRecord:
    torch.manual_seed(0)
    batch = torch.randn(*shape), torch.randint(0, classes, shape[:1])
    return diagnose(model, batch).run_record()


def mlp(inputs: int, width: int, classes: int) -> nn.Module:
    torch.manual_seed(0)
    hidden = nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(width, classes))


def text_of(record: RunRecord) -> str:
    return render({"test_x": {"run": freeze(record, PROVENANCE)}})


def again(record: RunRecord) -> RunRecord:
    return parse(text_of(record), "a")["test_x"]["run"].record


@pytest.mark.parametrize(("sizes", "most"), [((20, 64, 5), 3_700), ((784, 256, 10), 4_200)])
def test_a_perceptron_of_three_layers_takes_four_kilobytes(sizes, most):
    record = diagnosed(mlp(*sizes), 64, sizes[0], classes=sizes[-1])
    text = text_of(record)
    assert len(text) <= most
    assert len(text) * 4 < len(render_long({"test_x": {"run": freeze(record, PROVENANCE)}}))
    assert compare(record, parse(text, "a")["test_x"]["run"], exact=True).is_identical


def test_what_many_entries_share_is_said_once():
    stored = freeze(network(0), PROVENANCE)
    one, two = (len(render({str(i): {"run": stored} for i in range(n)})) for n in (1, 2))
    assert render({"a": {"run": stored}, "b": {"run": stored}}).count(PROVENANCE["torch"]) == 1
    assert two - one < one - len(str(PROVENANCE)) + 20


@settings(max_examples=60, deadline=None)
@given(records)
def test_both_forms_hold_the_same(record):
    tests = {"t": {"e": freeze(record, PROVENANCE)}}
    short, long = parse(render(tests), "a"), parse(render_long(tests), "a")
    assert render_long(short) == render_long(long) == render_long(tests)
    assert render(long) == render(tests)


def after(record: RunRecord, **changes: object) -> RunRecord:
    return dataclasses.replace(
        record, after=dataclasses.replace(record.before, moment="after 5 steps", **changes)
    )


def test_what_the_steps_leave_alone_is_not_said_again():
    record = network(0)
    assert len(text_of(after(record))) < len(text_of(record)) + 60
    assert again(after(record)) == freeze(after(record)).record


@pytest.mark.parametrize(
    "changes",
    [
        {"layers": ()},
        {"layers": network(1).before.layers[:2]},
        {"layers": network(1, (32, 16, 10)).before.layers},
        {"layers": tuple(LayerRecord(name=f"layers.{i}", kind="Linear") for i in range(3))},
        {"inputs": None, "outputs": None, "loss": None},
        {"outputs": network(0).before.layers[0].activations},
        {"outputs": stats([1.0, 2.0])},
        {"meta": {"device": "cpu"}},
        {"effective_samples": 3.5, "digests": {"batch": "ab"}},
    ],
)
def test_what_the_steps_change_or_take_away_comes_back(changes):
    record = after(network(0), **changes)
    assert again(record) == freeze(record).record


@pytest.mark.parametrize(
    "histogram",
    [
        None,
        Histogram(-0.5, 0.75, (1, 2, 1)),
        Histogram(-1.0, 0.75, (1,) * 32),
        Histogram(-0.5, 0.75, (0,) * 32),
        Histogram(-0.5, 0.75, (2**50, *(0,) * 31)),
        Histogram(-0.5, 0.75, (2**30, 1, *(0,) * 30)),
        Histogram(-0.5, 0.75, (0, 2**40 - 1, *(0,) * 29, 1)),
        Histogram(-0.5, 0.75, ()),
    ],
)
@pytest.mark.parametrize("digest", ["", "0123e456", 'a "text" of [its] own\n', "é"])
def test_a_tensor_of_any_form_comes_back(histogram, digest):
    values = TensorStats(
        n=2**55, mean=0.125, std=0.25, min=-0.5, max=0.75, histogram=histogram,
        dtype="bfloat16", shape=(3, 5), digest=digest, zero_share=0.5, nonfinite=7,
    )  # fmt: skip
    layer = LayerRecord(name="fc", kind="Linear", weights={"": values, "a: b": values})
    record = RunRecord(before=ModelRecord(layers=(layer,)))
    if histogram is None or histogram.counts:
        assert again(record) == freeze(record).record
    else:
        with pytest.raises(BaselineError, match="counts"):
            again(record)


def test_a_number_without_finite_values_comes_back():
    model = ModelRecord(inputs=stats([float("nan")] * 3), outputs=stats([0.0]))
    assert again(RunRecord(before=model, after=model)) == freeze(
        RunRecord(before=model, after=model)
    ).record  # fmt: skip


def test_every_damage_of_a_line_is_found():
    text = text_of(after(network(0), layers=network(1).before.layers))
    rng = random.Random(0)
    lines = [at for at, line in enumerate(text.splitlines()) if line.startswith(('"w.', '"a"'))]
    assert len(lines) == 18
    for _ in range(600):
        whole = text.splitlines()
        at = rng.choice(lines)
        key, _, _ = whole[at].partition(":")
        start, end = len(key) + 2, whole[at].rindex('"')
        place = rng.randrange(start, end)
        put = rng.choice(counts.ALPHABET + " ")
        if put == whole[at][place]:
            continue
        whole[at] = whole[at][:place] + put + whole[at][place + 1 :]
        with pytest.raises(BaselineError, match=f"a:{at + 1}: "):
            parse("\n".join(whole), "a")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_seen_by_its_first_digits(value):
    value = schema.rounded(value)
    head, tail = split(value)
    assert join(head, tail) == value
    assert abs(float(head) - value) <= abs(value) * 1e-2
    assert len(head) <= 10


@given(_counts, st.data())
def test_counts_come_back_from_their_number(values, data):
    place = counts.rank(values)
    assert 0 <= place < counts.ways(sum(values), len(values))
    assert counts.unrank(place, sum(values), len(values)) == tuple(values)
    like = data.draw(st.lists(st.integers(0, 99), min_size=len(values), max_size=len(values)))
    apart = counts.folded(values, like)
    assert min(apart) >= 0
    assert [counts.unfolded(*pair) for pair in zip(apart, like, strict=True)] == values


@pytest.mark.parametrize(("total", "bins"), [(0, 1), (0, 4), (5, 1), (3, 3), (4, 5)])
def test_every_number_is_that_of_other_counts(total, bins):
    found = {counts.unrank(place, total, bins) for place in range(counts.ways(total, bins))}
    assert len(found) == counts.ways(total, bins)
    assert {sum(one) for one in found} == {total}


@given(st.integers(0, 1 << 50), st.text(counts.ALPHABET, max_size=5))
def test_a_size_says_where_it_ends(value, rest):
    assert counts.read_size(counts.size(value) + rest) == (value, rest)


@pytest.mark.parametrize("kind", [LayerRecord, ModelRecord, TensorStats, RunRecord])
def test_brief_names_are_distinct(kind):
    briefs = schema.unbriefed(kind)
    assert len(set(briefs.values())) == len(briefs)
    assert all("." not in brief and "=" not in brief for brief in briefs)
    lines = {schema.brief(kind, key) for key in tensors(kind)}
    assert not lines & ({m.key for m in schema.members(kind)} - set(tensors(kind)))


def older(folder, *records: RunRecord) -> Baselines:
    """Baselines in the format of before."""
    baselines = Baselines(folder)
    tests = [recorded(one, f"{NODE}[{i}]") for i, one in enumerate(records)]
    (file,) = baselines.update(tests, PROVENANCE).files
    file.write_text(render_long(parse(file.read_text(), "a")))
    return Baselines(folder)


def test_an_update_leaves_an_older_file_in_which_all_fits(tmp_path):
    baselines = older(tmp_path, network(0), network(1))
    file = baselines.path(NODE)
    before = file.read_bytes()
    done = baselines.update([recorded(network(1), f"{NODE}[1]")], PROVENANCE)
    assert (done.files, done.converted) == ([], [])
    assert file.read_bytes() == before
    assert baselines.compare(f"{NODE}[0]", "run", network(0), exact=True).is_identical


def test_an_update_that_changes_an_older_file_says_so_and_keeps_its_values(tmp_path):
    baselines = older(tmp_path, network(0), network(1))
    file = baselines.path(NODE)
    before = len(file.read_bytes())
    done = baselines.update([recorded(network(2), f"{NODE}[1]")], PROVENANCE)
    assert done.files == done.converted == [file]
    assert len(file.read_bytes()) * 3 < before
    assert baselines.stored(f"{NODE}[0]", "run").record == freeze(network(0)).record
