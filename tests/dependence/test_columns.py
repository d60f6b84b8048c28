"""Columns of a table that nothing reads, and those that only look unread."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings, strategies
from support.dependence import KINDS, ask, linear, model, named, rows
from support.starts import adam
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

COUNT, WIDTH = 48, 6
FLAT, CLASSES = rows(WIDTH, count=COUNT)
SERIES, LABELS = rows(5, WIDTH, count=COUNT)
torch.manual_seed(3)
IDS = torch.randint(0, 5, (COUNT, WIDTH))
MIXED = torch.cat([FLAT[:, :4], (FLAT[:, 4:] > 0).float()], 1)


def plain(read, features=WIDTH, **parts):
    """A rectifier network on what is read of the inputs."""
    return lambda: model(lambda m, *x: m.head(m.body(read(m, *x)).relu()),
                         body=linear(features, 16), head=linear(16, KINDS), **parts)  # fmt: skip


def embedded(column):
    """A table of embeddings for each column, which reads the column that it is told."""

    def run(m, x):
        found = [table(x[:, column(i)]) for i, table in enumerate(m.tables)]
        return m.head(torch.cat(found, 1).relu())

    def tables():
        return nn.ModuleList(nn.Embedding(5, 4) for _ in range(WIDTH))

    return lambda: model(run, head=linear(4 * WIDTH, KINDS), tables=tables)


def recurrent(read):
    return lambda: model(lambda m, x: m.head(m.cell(read(x))[0][:, -1]), head=linear(16, KINDS),
                         cell=lambda: nn.GRU(WIDTH, 16, batch_first=True))  # fmt: skip


def blanked(*columns):
    """Inputs whose columns are overwritten with zeros."""

    def run(m, x):
        x = x.clone()
        x[..., list(columns)] = 0
        return x

    return run


FAULTS = {
    "every embedding reads column 0": (embedded(lambda i: 0), IDS, (1, 2, 3, 4, 5)),
    "the last two embeddings read one column": (embedded(lambda i: min(i, 4)), IDS, (5,)),
    "a slice that stops too early": (plain(lambda m, x: x[:, :-1], 5), FLAT, (5,)),
    "a slice that starts too late": (plain(lambda m, x: x[:, 2:], 4), FLAT, (0, 1)),
    "a list of columns with one twice": (
        plain(lambda m, x: x[:, [0, 1, 2, 2, 4, 5]]), FLAT, (3,)),
    "columns that are overwritten": (plain(blanked(1, 4)), FLAT, (1, 4)),
    "a column that cancels": (
        plain(lambda m, x: torch.cat([x[:, :5], x[:, 5:] - x[:, 5:]], 1)), FLAT, (5,)),
    "numbers of 0 and 1 that a sum of words leaves": (
        plain(lambda m, x: x[:, :4], 4), MIXED, (4, 5)),
    "ids that a column of numbers loses by rounding": (
        plain(lambda m, x: m.table((x * 0).long()).flatten(1), 24,
              table=lambda: nn.Embedding(1, 4)), FLAT, ()),
    "a feature that no time step reads": (
        recurrent(lambda x: torch.cat([x[..., :5], x[..., :1]], 2)), SERIES, (5,)),
    "features of which the mean is taken of some": (
        plain(lambda m, x: x.mean(1)[:, 1:], 5), SERIES, (0,)),
    "batch normalisation behind a slice": (
        plain(lambda m, x: m.norm(x[:, :4]), 4, norm=lambda: nn.BatchNorm1d(4)), FLAT, (4, 5)),
    "a softmax of one column": (
        plain(lambda m, x: torch.cat([x[:, :5], x[:, 5:].softmax(1)], 1)), FLAT, (5,)),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_columns_that_nothing_reads_are_named(name):
    make, table, columns = FAULTS[name]
    found = ask(make(), (table, CLASSES))
    assert named(found) == [("IC807", "")], str(found)
    if columns:
        (unread,) = found.proved.columns
        assert (unread.place, unread.count, unread.unread) == ("inputs", WIDTH, columns)
        assert str(unread) in found.findings[0].cause
        assert found.findings[0].severity == "warning"


def zeroed(layer):
    """Two columns that were added to a trained layer start at zero."""
    with torch.no_grad():
        layer.weight[:, -2:] = 0
    return layer


def routed(m, x):
    """Each sample goes to one of the experts, of which one alone reads the last column."""
    best = m.router(x[:, :5]).argmax(1)
    out = torch.stack([one(x if i else x * m.mask) for i, one in enumerate(m.experts)], 1)
    return out[torch.arange(len(x)), best]


def teacher(m, x, y):
    """What is foretold is read up to the last but one."""
    h = torch.cat([m.start.expand(len(y), 1, 8), m.words(y[:, :-1])], 1)
    return m.head(m.cell(h, m.body(x)[None])[0]).movedim(-1, 1)


def gated(m, x):
    return m.head(m.body(x[:, :4]).relu() * (x[:, 4:5] > 0.3) * (1 + m.times(x[:, 5:])))


def windowed(m, x):
    return m.head(m.body(x[:, None]).flatten(1).relu())


TIMES = torch.linspace(0, 1, COUNT)
RARE = torch.cat([FLAT[:, :5], (torch.arange(COUNT) % 16 == 3).float()[:, None]], 1)
SOUND = {
    "each embedding reads its column": (embedded(lambda i: i), IDS),
    "a network": (plain(lambda m, x: x), FLAT),
    "a network of two units": (
        lambda: model(lambda m, x: m.head(m.body(x).relu()), body=linear(WIDTH, 2),
                      head=linear(2, KINDS)), FLAT),
    "a constant column": (
        plain(lambda m, x: x[:, :5], 5), torch.cat([FLAT[:, :5], torch.ones(COUNT, 1)], 1)),
    "a column that is 0 for nearly all samples": (plain(lambda m, x: x), RARE),
    "one-hot columns, some of them empty": (
        plain(lambda m, x: x), functional.one_hot(torch.arange(COUNT) % 4, WIDTH).float()),
    "a choice among one-hot columns": (
        plain(lambda m, x: m.table(x.argmax(1)), 8, table=lambda: nn.Embedding(WIDTH, 8)),
        functional.one_hot(torch.arange(COUNT) % WIDTH, WIDTH)),
    "a sorted column of times": (
        plain(lambda m, x: x), torch.cat([FLAT[:, :5], TIMES[:, None]], 1)),
    "columns of all sizes": (plain(lambda m, x: x), FLAT * 10.0 ** torch.arange(-2, 4)),
    "columns behind a threshold": (plain(lambda m, x: (x > 0.5).float()), FLAT),
    "a condition that closes for most": (
        lambda: model(gated, body=linear(4, 16), times=linear(1, 16), head=linear(16, KINDS)),
        FLAT),
    "a maximum over the columns": (
        plain(lambda m, x: x.amax(1, keepdim=True), 1), FLAT * 3.0 ** torch.arange(WIDTH)),
    "the largest two columns": (
        plain(lambda m, x: x.topk(2, 1)[0], 2), FLAT * 3.0 ** torch.arange(WIDTH)),
    "routing to one expert": (
        lambda: model(routed, router=linear(5, 3), mask=torch.eye(WIDTH)[:5].sum(0),
                      experts=lambda: nn.ModuleList(nn.Linear(WIDTH, KINDS) for _ in range(3))),
        FLAT),
    "columns whose weights start at zero": (
        lambda: model(lambda m, x: m.head(m.body(x).relu()), head=linear(16, KINDS),
                      body=lambda: zeroed(nn.Linear(WIDTH, 16))), FLAT),
    "a convolution that leaves the end": (
        lambda: model(windowed, body=lambda: nn.Conv1d(1, 4, 2, stride=4), head=linear(8, KINDS)),
        FLAT),
    "pooling that leaves the end": (
        plain(lambda m, x: functional.avg_pool1d(x[:, None], 4)[:, 0], 1), FLAT),
    "a part of the columns, drawn anew each time": (
        plain(lambda m, x: x * (torch.rand(WIDTH) < 0.5)), FLAT),
    "a column that an index picks": (
        plain(lambda m, x: x.gather(1, (x[:, :1] > 9).long()), 1), FLAT),
    "samples that are compared": (
        plain(lambda m, x: (x[:, :5] - x[:, :5].mean(0)), 5), FLAT),
    "a recurrence over all features": (recurrent(lambda x: x), SERIES),
    "an image": (
        lambda: model(lambda m, x: m.head(m.body(x[..., :4]).amax((2, 3))), head=linear(4, KINDS),
                      body=lambda: nn.Conv2d(2, 4, 3)), torch.randn(COUNT, 2, 5, 5)),
    "more columns than samples can ask": (
        plain(lambda m, x: x[:, 1:], 199), torch.randn(COUNT, 200)),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_columns_that_are_read_or_cannot_be_asked_are_left_alone(name):
    make, table = SOUND[name]
    found = ask(make(), (table, CLASSES))
    assert named(found) == [], str(found)
    assert found.proved.columns == ()


def test_several_tables_give_one_finding():
    net = model(lambda m, x, z: m.head(torch.cat([x[:, :4], z[..., 1:].sum(1)], 1)),
                head=linear(9, KINDS))  # fmt: skip
    found = ask(net, ((FLAT, SERIES), CLASSES))
    assert named(found) == [("IC807", "")], str(found)
    assert "columns 4 to 5 of inputs[0] and column 0 of inputs[1]" in found.findings[0].cause
    frame = found.proved.to_frame()
    asked = frame[frame.question == "column"].changed.tolist()
    assert asked == ["inputs[0][..., 4]", "inputs[0][..., 5]", "inputs[1][..., 0]"]


def test_what_is_foretold_is_not_read_to_its_end():
    words = torch.randint(0, 9, (COUNT, 4), generator=torch.Generator().manual_seed(0))
    net = model(teacher, words=lambda: nn.Embedding(9, 8), body=linear(WIDTH, 8),
                cell=lambda: nn.GRU(8, 8, batch_first=True), head=linear(8, 9),
                start=lambda: nn.Parameter(torch.randn(1, 1, 8)))  # fmt: skip
    assert named(ask(net, ((FLAT, words), words))) == []
    assert named(ask(net, ((FLAT, words), words.flip(1) * 0 + 1))) != []


def test_masks_beside_other_inputs_are_not_asked_about():
    net = model(lambda m, x, keep: m.head(x * keep[:, :-1].float().mean(1, keepdim=True)),
                head=linear(WIDTH, KINDS))  # fmt: skip
    keep = torch.rand(COUNT, 4, generator=torch.Generator().manual_seed(0)) > 0.3
    assert named(ask(net, ((FLAT, keep), CLASSES))) == []


def test_a_few_samples_prove_nothing():
    make = plain(lambda m, x: x[:, :-1], 5)
    assert named(ask(make(), (FLAT[:9], CLASSES[:9]))) == []
    assert named(ask(make(), (FLAT[:10], CLASSES[:10]))) == [("IC807", "")]


def test_whoever_takes_the_batch_apart_picks_its_columns():
    net = plain(lambda m, x: x[:, :-1], 5)()
    found = ask(net, (FLAT, CLASSES), forward=lambda m, b: functional.cross_entropy(m(b[0]), b[1]))
    assert named(found) == []


def test_the_loss_may_read_a_column_that_the_scores_do_not():
    net = model(lambda m, x: (m.head(x[:, :5]), x[:, 5]), head=linear(5, KINDS))

    def weighted(output, targets):
        scores, weights = output
        loss = functional.cross_entropy(scores, targets, reduction="none")
        return (loss * weights.square()).mean()

    assert named(ask(net, (FLAT, CLASSES), weighted)) == []


def test_the_other_samples_may_be_wrong_for_the_model():
    def run(m, x):
        if not torch.equal(x[:, 5].sort()[0], TIMES) or bool((x[:, 5].diff() < 0).any()):
            raise ValueError("times must rise")
        return m.head(x[:, :5])

    table = torch.cat([FLAT[:, :5], TIMES[:, None]], 1)
    found = ask(model(run, head=linear(5, KINDS)), (table, CLASSES))
    assert named(found) == [], str(found)


def test_a_diagnosis_tells_it_and_its_twin_passes():
    broken, right = (diagnose(embedded(which)(), (IDS, CLASSES), optimizer=adam(1e-2))
                     for which in (lambda i: 0, lambda i: i))  # fmt: skip
    assert [f.id for f in broken.findings] == ["IC807"], str(broken)
    assert "columns 1 to 5 of inputs" in str(broken.findings[0])
    assert "IC807" not in [f.id for f in right.findings], str(right)


@settings(max_examples=25, deadline=None)
@given(data=strategies.data(), features=strategies.integers(2, 12),
       samples=strategies.integers(12, 60), seed=strategies.integers(0, 99))  # fmt: skip
def test_just_what_is_left_out_is_named(data, features, samples, seed):
    kept = data.draw(strategies.sets(strategies.integers(0, features - 1), min_size=1))
    torch.manual_seed(seed)
    table, targets = torch.randn(samples, features), torch.arange(samples) % KINDS
    net = nn.Sequential(nn.Linear(len(kept), 8), nn.ReLU(), nn.Linear(8, KINDS))
    columns = sorted(kept)
    found = ask(model(lambda m, x: net(x[:, columns]), net=net), (table, targets))
    unread = [i for part in found.proved.columns for i in part.unread]
    assert unread == sorted(set(range(features)) - kept)
