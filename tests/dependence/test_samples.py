"""Samples that leak into each other, and the exchanges that are meant."""

from __future__ import annotations

import pytest
import torch
from support.dependence import (
    KINDS,
    LENGTH,
    SAMPLES,
    WIDTH,
    ask,
    encoder,
    linear,
    model,
    named,
    rows,
    sequences,
)
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

HIDDEN = 8
IMAGES = rows(3, 9, 9)
FLAT = rows(6)


def dense(function, **parts):
    """A hidden layer, what is done to it, and a head."""
    return model(
        lambda m, x: m.head(function(m, m.body(x))),
        body=linear(6, HIDDEN), head=linear(HIDDEN, KINDS), **parts,
    )  # fmt: skip


def last(kind, **options):
    """The last step of a recurrent layer as if the batch came first."""
    return model(
        lambda m, x: m.head(m.cell(x)[0][:, -1]),
        cell=lambda: kind(WIDTH, HIDDEN, **options), head=linear(HIDDEN, KINDS),
    )  # fmt: skip


def joined(function):
    """Two branches that a function joins, and a head that reads both."""
    return model(
        lambda m, x: m.head(function(m.one(x), m.two(x)).view(-1, 2 * HIDDEN)),
        one=linear(6, HIDDEN), two=linear(6, HIDDEN), head=linear(2 * HIDDEN, KINDS),
    )  # fmt: skip


def attended(pool=1, **options):
    return model(
        lambda m, x: m.head(m.encoder(x).mean(pool)),
        encoder=lambda: encoder(**options), head=linear(WIDTH, KINDS),
    )  # fmt: skip


def scored(axis):
    """Attention by hand, its softmax along an axis."""

    def run(m, x):
        scores = m.q(x) @ m.k(x).mT / WIDTH**0.5
        return m.head((scores.softmax(axis) @ m.v(x)).mean(1))

    parts = {name: linear(WIDTH, WIDTH) for name in "qkv"}
    return model(run, head=linear(WIDTH, KINDS), **parts)


def reordered(change):
    """A recurrent layer that wants time first, fed by what a change makes of (N, T, C)."""
    return model(
        lambda m, x: m.head(m.cell(change(x))[0][-1]),
        cell=lambda: nn.LSTM(WIDTH, HIDDEN), head=linear(HIDDEN, KINDS),
    )  # fmt: skip


def stacked(read):
    """Two recurrent layers whose last hidden states go to the head."""
    return model(
        lambda m, x: m.head(read(m.cell(x)[1])),
        cell=lambda: nn.GRU(WIDTH, HIDDEN, 2, batch_first=True), head=linear(2 * HIDDEN, KINDS),
    )  # fmt: skip


def batch_of_one_head(m, h):
    return h.mean(0, keepdim=True).expand(SAMPLES, HIDDEN)


FAULTS = {
    "softmax of features over the batch": (dense(lambda m, h: h.softmax(0)), FLAT, ""),
    "softmax without a dimension": (
        model(lambda m, x: m.head(m.soft(m.body(x)).mean(1)), body=linear(WIDTH, HIDDEN),
              soft=nn.Softmax(), head=linear(HIDDEN, KINDS)), sequences(), "soft"),
    "softmax of scores over the batch": (scored(0), sequences(), ""),
    "log-softmax of the outputs over the batch": (
        model(lambda m, x: m.head(x).log_softmax(0), head=linear(6, KINDS)), FLAT, ""),
    "mean over the batch": (dense(batch_of_one_head), FLAT, ""),
    "maximum over the batch": (dense(lambda m, h: h.amax(0, keepdim=True).expand_as(h)), FLAT, ""),
    "a cell that forgot batch_first: LSTM": (last(nn.LSTM), sequences(), "cell"),
    "a cell that forgot batch_first: GRU": (last(nn.GRU), sequences(), "cell"),
    "a cell that forgot batch_first: RNN": (last(nn.RNN, num_layers=2), sequences(), "cell"),
    "a bidirectional cell that forgot batch_first": (
        model(lambda m, x: m.head(m.cell(x)[0].mean(1)), head=linear(2 * HIDDEN, KINDS),
              cell=lambda: nn.LSTM(WIDTH, HIDDEN, bidirectional=True)), sequences(), "cell"),
    "an encoder that forgot batch_first": (
        attended(), sequences(), "encoder.layers.0.self_attn"),
    "attention that forgot batch_first": (
        model(lambda m, x: m.head(m.attend(x, x, x)[0][:, 0]), head=linear(WIDTH, KINDS),
              attend=lambda: nn.MultiheadAttention(WIDTH, 2)), sequences(), "attend"),
    "batch_first after a transposition": (
        model(lambda m, x: m.head(m.encoder(x.transpose(0, 1)).mean(0)), head=linear(WIDTH, KINDS),
              encoder=lambda: encoder(batch_first=True)), sequences(),
        "encoder.layers.0.self_attn"),
    "view in place of a transposition": (
        reordered(lambda x: x.reshape(LENGTH, SAMPLES, WIDTH)), sequences(), ""),
    "two branches joined along the batch": (joined(lambda a, b: torch.cat([a, b])), FLAT, ""),
    "hidden states viewed as a batch": (stacked(lambda h: h.view(SAMPLES, -1)), sequences(), ""),
    "a layer normalisation over everything": (
        model(lambda m, x: m.head(functional.layer_norm(h := m.body(x), h.shape)[:, 0]),
              body=linear(WIDTH, HIDDEN), head=linear(HIDDEN, KINDS)), sequences(), ""),
    "hidden behind a gate of zero": (
        dense(lambda m, h: h + m.gate * h.softmax(0), gate=lambda: nn.Parameter(torch.zeros(1))),
        FLAT, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_a_leak_is_found_and_named(name):
    net, batch, layer = FAULTS[name]
    found = ask(net, batch)
    assert named(found) == [("IC805", layer)], str(found)
    samples = found.proved.samples
    assert samples.leaked
    assert samples.fault.fault in found.findings[0].cause
    assert found.findings[0].severity == "error"


def by_hand(m, h):
    """Batch normalisation, five layers of it."""
    for _ in range(5):
        h = (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()
        h = torch.relu(m.more(h))
    return h


def discriminated(m, h):
    """Distances to all other samples beside the features (Salimans et al., 2016)."""
    distances = (h[:, None] - h[None]).abs().sum(2)
    return h + (-distances).exp().sum(1, keepdim=True)


def deviating(m, h):
    """The standard deviation over the batch as one more feature (ProGAN)."""
    return h + h.std(0).mean()


def queued(m, x):
    """Logits against a queue of earlier keys (MoCo), which each pass moves on."""
    key = functional.normalize(m.body(x), dim=1)
    logits = torch.cat([(key * key).sum(1, keepdim=True), key @ m.queue.T.clone()], 1)
    m.queue.copy_(torch.cat([key.detach(), m.queue])[: len(m.queue)])
    return logits


class Graph(nn.Module):
    """One graph convolution: messages along edges, or by a matrix of neighbours."""

    def __init__(self, how):
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.how = nn.Linear(6, HIDDEN), nn.Linear(HIDDEN, KINDS), how

    def forward(self, x, links):
        return self.head(torch.relu(self.how(self.body(x), links)))


EDGES = torch.stack([torch.arange(SAMPLES), torch.arange(SAMPLES).roll(1)])
NEAR = torch.eye(SAMPLES) + torch.eye(SAMPLES).roll(1, 0)


def routed(m, h):
    """Two experts that take four samples each, those with the highest scores."""
    out = torch.zeros_like(h)
    for expert, scores in zip((m.one, m.two), m.route(h).softmax(1).T, strict=True):
        best = scores.topk(4)
        out = out.index_add(0, best.indices, expert(h[best.indices]) * best.values[:, None])
    return out


def mixed(m, h):
    """Mixup of the hidden layer with the samples in another order."""
    return 0.7 * h + 0.3 * h[torch.randperm(len(h))]


def windows(m, x):
    """Attention within windows, which are cut out by reshaping."""
    cut = x[:, :4].reshape(-1, 2, WIDTH)
    return m.head(m.attend(cut, cut, cut)[0].reshape(SAMPLES, 4, WIDTH).mean(1))


SOUND = {
    "a dense network": (dense(lambda m, h: h.relu()), FLAT),
    "batch normalisation": (dense(lambda m, h: m.norm(h), norm=nn.BatchNorm1d(HIDDEN)), FLAT),
    "batch normalisation without weights": (
        dense(lambda m, h: m.norm(h), norm=nn.BatchNorm1d(HIDDEN, affine=False,
                                                          track_running_stats=False)), FLAT),
    "batch normalisation of images": (
        model(lambda m, x: m.head(m.norm(m.conv(x)).relu().mean((2, 3))),
              head=linear(HIDDEN, KINDS), conv=lambda: nn.Conv2d(3, HIDDEN, 3),
              norm=nn.BatchNorm2d(HIDDEN)), IMAGES),
    "batch normalisation by function": (
        dense(lambda m, h: functional.batch_norm(h, None, None, training=True)), FLAT),
    "batch normalisation by hand": (
        dense(by_hand, more=linear(HIDDEN, HIDDEN)), FLAT),
    "instance and group normalisation": (
        model(lambda m, x: m.head(m.group(m.norm(m.conv(x))).relu().amax((2, 3))),
              head=linear(HIDDEN, KINDS), conv=lambda: nn.Conv2d(3, HIDDEN, 3),
              norm=nn.InstanceNorm2d(HIDDEN), group=nn.GroupNorm(2, HIDDEN)), IMAGES),
    "features of unit length over the batch": (
        dense(lambda m, h: functional.normalize(h, dim=0)), FLAT),
    "a softmax within the sample": (dense(lambda m, h: h.softmax(1)), FLAT),
    "similarities between two views": (
        model(lambda m, x: 5 * functional.normalize(m.one(x), dim=1)
              @ functional.normalize(m.two(x), dim=1).T,
              one=linear(6, HIDDEN), two=linear(6, HIDDEN)),
        (FLAT[0], torch.arange(SAMPLES))),
    "similarities that a softmax turns into labels": (
        dense(lambda m, h: (h @ h.T).softmax(1) @ h), FLAT),
    "a queue of keys": (
        model(queued, body=linear(6, HIDDEN), queue=lambda: torch.randn(20, HIDDEN)),
        (FLAT[0], torch.zeros(SAMPLES, dtype=torch.long))),
    "distances to the other samples": (dense(discriminated), FLAT),
    "the deviation over the batch": (dense(deviating), FLAT),
    "a graph by its edges": (
        Graph(lambda h, e: h.index_add(0, e[1], h[e[0]])), ((FLAT[0], EDGES), FLAT[1])),
    "a graph by its matrix": (Graph(lambda h, a: a @ h), ((FLAT[0], NEAR), FLAT[1])),
    "a graph by its sparse matrix": (
        Graph(lambda h, a: torch.sparse.mm(a, h)), ((FLAT[0], NEAR.to_sparse()), FLAT[1])),
    "time first": (attended(0), (sequences()[0].transpose(0, 1), sequences()[1])),
    "batch first": (attended(batch_first=True), sequences()),
    "a cell, batch first": (last(nn.LSTM, batch_first=True), sequences()),
    "a transposition": (reordered(lambda x: x.transpose(0, 1)), sequences()),
    "two branches joined along the features": (
        joined(lambda a, b: torch.cat([a, b], 1)), FLAT),
    "two branches side by side": (joined(lambda a, b: torch.stack([a, b], 1)), FLAT),
    "two branches in one pass": (
        joined(lambda a, b: torch.cat(torch.cat([a, b]).tanh().chunk(2), 1)), FLAT),
    "hidden states transposed, then viewed": (
        stacked(lambda h: h.transpose(0, 1).reshape(SAMPLES, -1)), sequences()),
    "one sequence through a cell": (
        model(lambda m, x: m.head(m.cell(x)[0]), cell=lambda: nn.GRU(6, HIDDEN),
              head=linear(HIDDEN, KINDS)), FLAT),
    "one sequence through attention": (
        model(lambda m, x: m.head(m.attend(x, x, x)[0]), head=linear(6, KINDS),
              attend=lambda: nn.MultiheadAttention(6, 2)), FLAT),
    "one set that is pooled and drawn anew": (
        model(lambda m, x: m.draw(m.body(x).relu().amax(0)).view(SAMPLES, 6),
              body=linear(6, HIDDEN), draw=linear(HIDDEN, 6 * SAMPLES)), (FLAT[0], FLAT[0])),
    "one set that is pooled and handed back": (
        dense(lambda m, h: h + h.amax(0, keepdim=True)), FLAT),
    "attention to a few queries, and back": (
        dense(lambda m, h: h + (h @ m.seeds.T).softmax(1)
              @ ((m.seeds @ h.T).softmax(1) @ h), seeds=lambda: torch.randn(3, HIDDEN)), FLAT),
    "a choice among the samples": (
        model(lambda m, x: m.head(x).softmax(0), head=linear(6, 1)),
        (FLAT[0], torch.full((SAMPLES, 1), 1 / SAMPLES))),
    "experts that take the best samples": (
        dense(routed, route=linear(HIDDEN, 2), one=linear(HIDDEN, HIDDEN),
              two=linear(HIDDEN, HIDDEN)), FLAT),
    "mixup of hidden layers": (dense(mixed), FLAT),
    "attention within windows": (
        model(windows, head=linear(WIDTH, KINDS),
              attend=lambda: nn.MultiheadAttention(WIDTH, 2, batch_first=True)), sequences()),
    "a rate from the whole batch": (dense(lambda m, h: h / h.abs().max()), FLAT),
    "whitening": (
        dense(lambda m, h: (h - h.mean(0)) @ torch.linalg.inv(h.T @ h + torch.eye(HIDDEN))), FLAT),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_is_meant_to_mix_samples_is_no_leak(name):
    net, batch = SOUND[name]
    found = ask(net, batch)
    assert named(found) == [], str(found)
    assert found.proved.samples is not None, str(found)


def test_time_first_and_one_target_per_step_is_ambiguous_and_left_alone():
    """(T, N) targets for (T, N, C): nothing tells time from samples, and one of them is sound."""
    net = model(lambda m, x: m.head(m.cell(x)[0]).movedim(-1, 1), head=linear(HIDDEN, KINDS),
                cell=lambda: nn.LSTM(WIDTH, HIDDEN))  # fmt: skip
    x, _ = sequences()
    found = ask(net, (x, torch.randint(0, KINDS, x.shape[:2])))
    assert named(found) == [], str(found)
    assert found.proved.samples.leaked
    assert not found.proved.samples.is_certain


def test_a_leak_along_both_axes_is_one_however_they_are_read():
    def run(m, x):
        h = m.encoder(x)
        return m.head(h.softmax(0)).movedim(-1, 1)

    net = model(run, encoder=lambda: encoder(batch_first=True), head=linear(WIDTH, KINDS))
    x, _ = sequences()
    found = ask(net, (x, torch.randint(0, KINDS, x.shape[:2])))
    assert named(found) == [("IC805", "")], str(found)


def test_statistics_are_held_in_place_of_what_the_model_keeps():
    """The running statistics take part in nothing here, and stay as they were."""
    net = dense(lambda m, h: m.norm(h), norm=nn.BatchNorm1d(HIDDEN))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    ask(net, FLAT)
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


@pytest.mark.parametrize(
    ("net", "batch", "reason"),
    [
        (dense(lambda m, h: h), (FLAT[0][:1], FLAT[1][:1]), "one sample"),
        (dense(lambda m, h: h), (torch.ones(4, 6), torch.arange(4) % 3), "all alike"),
        (dense(lambda m, h: h * torch.nan), FLAT, "not finite"),
        (
            model(lambda m, x: m.head(x).mean(0), head=linear(6, 2)),
            (FLAT[0], torch.rand(2)),
            "which axis",
        ),
        (
            model(lambda m, x: m.head(x).sum((0, 1)) + torch.zeros(4), head=linear(6, 2)),
            (FLAT[0], torch.rand(7)),
            "no axis of the output",
        ),
    ],
)
def test_what_could_not_be_asked_is_said(net, batch, reason):
    found = ask(net, batch, lambda output, targets: output.square().sum())
    assert reason in str(found)
    assert named(found) == []


def test_passes_that_differ_by_themselves_prove_nothing():
    calls = []

    def run(m, h):
        calls.append(h)
        return h.softmax(0) + len(calls)

    found = ask(dense(run), FLAT)
    assert "two passes on one batch differ" in str(found)
    assert named(found) == []


class Detector(nn.Module):
    """A list of images, each with its own boxes: no tensor counts the samples."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, images):
        return torch.stack([self.conv(image).softmax(0).mean((1, 2)) for image in images])


def test_lists_of_samples_do_not_tell_which_axis_counts_them():
    images, boxes = [torch.randn(3, 9, 9) for _ in range(2)], [{"box": torch.rand(3, 4)}] * 2
    found = ask(Detector(), ((images,), boxes), lambda output, targets: output.square().sum())
    assert named(found) == []
    assert "samples: the batch is nested" in str(found)


def test_a_leak_shows_through_forward_as_well():
    net = dense(lambda m, h: h.softmax(0))
    loss = lambda m, batch: functional.cross_entropy(m(batch[0]), batch[1])  # noqa: E731
    assert named(ask(net, FLAT, forward=loss)) == [("IC805", "")]
    sound = dense(lambda m, h: h.softmax(1))
    assert named(ask(sound, FLAT, forward=loss)) == []


def test_a_model_that_refuses_other_samples_is_left_alone():
    def run(m, x):
        if not torch.equal(x, FLAT[0]):
            raise ValueError("I know my data")
        return m.head(x)

    found = ask(model(run, head=linear(6, KINDS)), FLAT)
    assert named(found) == []
    assert "I know my data" in str(found)


def test_the_dice_are_thrown_alike_in_every_pass():
    def run(m, h):
        return functional.dropout(h + torch.randn_like(h), 0.5)

    found = ask(dense(run), FLAT)
    assert found.proved.samples.moved == (3,), str(found)


def test_the_answer_as_text_and_as_a_table():
    found = diagnose(dense(lambda m, h: h.softmax(0)), FLAT, steps=1).dependencies()
    assert "replacing 3 of 7 moved the output of 0 to 6" in str(found)
    assert "a softmax over the samples" in str(found)
    frame = found.to_frame()
    assert list(frame.columns) == ["question", "changed", "output", "moved"]
    assert frame[frame.question == "sample"].moved.all()
