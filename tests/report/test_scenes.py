"""Landscapes that are stepped over, points by moment, and who is taken for whom."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from pytest_initcheck import Experiment, escape, run
from pytest_initcheck.records import (
    Entry,
    Points,
    RunRecord,
    Scatter,
    SessionRecord,
    TestRecord,
)
from pytest_initcheck.report import FORMAT, render, run_json
from pytest_initcheck.report.scenes import MOST_STEPS, MOST_WAYS, scenes_data
from pytest_initcheck.report.texts import Texts
from pytest_initcheck.report.write import parse_run


def sgd(parameters):
    return torch.optim.SGD(parameters, lr=0.01)


def bowl(w):
    return (w**2).sum()


def session(record, kind="escape"):
    entry = Entry(name="e", kind=kind, record=record)
    return SessionRecord(FORMAT, {}, (TestRecord(nodeid="a.py::t", entries=(entry,)),))


def test_a_way_over_one_parameter():
    found = scenes_data(escape(lambda w: w**3, 4.0, sgd, 10, seeds=1).run_record(), Texts())
    land = found["landscape"]
    ((seed, stride, w, objective),) = land["ways"]
    assert (seed, stride, len(w)) == (0, 1, 11)
    assert (w[0], objective[0]) == (4, 64)
    assert land["low"][0] < min(w) < max(w) < land["high"][0]
    assert len(land["values"]) == 2 * land["size"]


def test_a_way_over_two_parameters_and_none_over_three():
    flat = escape(bowl, torch.tensor([2.0, 1.0]), sgd, 5, seeds=1).run_record()
    assert flat.landscape is not None
    assert len(flat.landscape.values) == flat.landscape.size**2
    (way,) = scenes_data(flat, Texts())["landscape"]["ways"]
    assert len(way) == 5
    deep = escape(bowl, torch.tensor([2.0, 1.0, 1.0]), sgd, 5, seeds=1).run_record()
    assert deep.landscape is None


def test_ways_that_are_alike_are_drawn_once_and_long_ones_in_strides():
    quiet = escape(bowl, 1.0, sgd, 1000, seeds=8).run_record()
    ((_, stride, w, _),) = scenes_data(quiet, Texts())["landscape"]["ways"]
    assert stride == 3
    assert len(w) <= MOST_STEPS
    noisy = escape(bowl, 1.0, sgd, 5, noise=1, seeds=20).run_record()
    assert len(scenes_data(noisy, Texts())["landscape"]["ways"]) == MOST_WAYS


def test_points_are_held_by_their_moment():
    points = Points(moment="epoch 3", x=(0.5, float("nan")), y=(1.0, 2.0))
    texts = Texts()
    record = RunRecord(scatters=(Scatter(title="t", x="a", y="b", moments=(points,)),))
    (found,) = scenes_data(record, texts)["scatters"]
    assert [texts.all[place] for place in found["names"]] == ["t", "a", "b"]
    assert found["moments"][0][1:] == [[0.5, None], [1, 2]]


@pytest.fixture(scope="module")
def confused():
    """A run on images of two kinds, of which one has the label of the other."""
    torch.manual_seed(0)
    labels = torch.arange(40) % 2
    images = torch.rand(40, 64) * 0.2 + labels[:, None] * 0.8
    given = labels.clone()
    given[7] = 1 - given[7]
    experiment = Experiment(
        model=lambda: nn.Sequential(nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 2)),
        data=(images, labels),
        validation=(images, given),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.05),
        epochs=8,
        batch_size=10,
    )
    return run(experiment, seeds=3)


def test_the_counts_are_of_all_seeds_and_fit_the_accuracy(confused):
    found = confused.confusion
    assert (found.classes, sum(found.counts)) == (2, 120)
    right = sum(confused.metrics["validation accuracy"]) / 3
    assert (found.counts[0] + found.counts[3]) / 120 == pytest.approx(right)


def test_the_sample_with_the_wrong_label_is_most_mistaken(confused):
    first = confused.confusion.mistaken[0]
    assert (first.place, first.truth, first.predicted, first.count) == (7, 0, 1, 3)
    assert first.width == 8
    data = scenes_data(confused, Texts())["confusion"]["mistaken"][0]
    assert data[0] == 7


def test_they_come_back_from_run_json_and_leave_no_trace_in_the_plain_page(confused):
    again = parse_run(run_json(session(confused, "run"))).tests[0].entries[0].record
    assert again.confusion == confused.confusion
    page = render(session(confused, "run"))
    start = page.index('id="data">') + len('id="data">')
    data = json.loads(page[start : page.index("</script>", start)].replace("\\u003c", "<"))
    assert data["tests"][0]["entries"][0]["confusion"]["classes"] == 2


def test_a_regression_has_no_confusion():
    experiment = Experiment(
        model=lambda: nn.Linear(4, 1),
        data=(torch.randn(20, 4), torch.randn(20, 1)),
        validation=(torch.randn(20, 4), torch.randn(20, 1)),
        loss=nn.MSELoss(),
        optimizer=sgd,
        epochs=1,
        batch_size=10,
    )
    assert run(experiment, seeds=2).confusion is None
