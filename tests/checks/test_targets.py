"""What the loss asks for: targets that broadcast, ask for nothing, are given away or mixed up."""

from __future__ import annotations

import math
import re

import pytest
import torch
from corpus.contract.answers import forecaster, language, series, unshifted
from corpus.contract.builders import (
    coder,
    groups,
    halves,
    mapped,
    net,
    numbers,
    several,
    sketches,
    squared,
    tokenwise,
)
from corpus.nets import text
from corpus.unusual.builders import Model
from support.objective import is_true, judged, started, through
from support.starts import named, told
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose

bce, mse = functional.binary_cross_entropy_with_logits, functional.mse_loss
cross_entropy = functional.cross_entropy
FLAT = mapped(numbers(), lambda y: y[:, 0])


def first(s):
    return s[:, 0]


def start(entry):
    make, data, loss, *options = entry
    return judged(make, data, loss, **{"steps": 2, **(options[0] if options else {})})


def hinge(output, y):
    return functional.relu(1 - y * output).mean()


def signs(*, flat=False):
    return mapped(halves, lambda y: 2 * (y[:, 0] if flat else y) - 1)


BROADCAST = {
    "a column against a row": (net(None, 1), FLAT, squared),
    "a row against a column": (net(first, 1), numbers(), squared),
    "in a loss of torch": (net(None, 1), FLAT, nn.SmoothL1Loss()),
    "in a step": (net(None, 1), FLAT, None, {"forward": through(squared)}),
    "in a hinge": (net(None, 1), signs(flat=True), hinge),
}


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("name", BROADCAST)
def test_shapes_that_broadcast_in_the_loss(name):
    found = start(BROADCAST[name])
    worst = found.findings[0]
    assert (worst.id, worst.severity) == ("IC811", "error"), str(found)
    assert "(128, 1)" in worst.quantity
    assert "(128,)" in worst.quantity
    assert is_true(worst)


ALIGNED = {
    "a column against a column": (net(None, 1), numbers(), squared),
    "a row against a row": (net(first, 1), FLAT, squared),
    "one mean for all": (
        net(None, 1), numbers(), lambda o, y: squared(o, y) + squared(o.mean(), y.mean())),
    "quantiles against a column": (
        net(None, 3), numbers(), lambda o, y: torch.maximum(
            (y - o) * torch.tensor([0.1, 0.5, 0.9]), (o - y) * torch.tensor([0.9, 0.5, 0.1])
        ).mean()),
    "all pairs, where no constant is best": (
        net(None, 1), FLAT, lambda o, y: squared(o - o.T, y[:, None] - y)),
}  # fmt: skip


@pytest.mark.parametrize("name", ALIGNED)
def test_shapes_that_agree(name):
    found = start(ALIGNED[name])
    assert not {"IC811", "IC812"} & told(found), str(found)


NOTHING = {
    "one class": ((net(), mapped(groups, torch.zeros_like), None), "warning"),
    "zeros": ((net(None, 1), mapped(numbers(), torch.zeros_like), mse), "warning"),
    "labels that are all true": (
        (net(None, 5), mapped(several, torch.ones_like), bce), "warning"),
    "labels of 0 and 1 in a hinge": (
        (net(None, 1), halves, lambda o, y: functional.relu(1 - y * o).mean()), "error"),
    "targets that the loss takes no notice of": (
        (net(None, 1), numbers(), lambda o, y: (o + 0 * y).square().mean()), "warning"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_targets_that_ask_for_nothing(name):
    entry, severity = NOTHING[name]
    found = start(entry)
    worst = named(found, "IC812")
    assert worst is found.findings[0], str(found)
    assert worst.severity == severity
    assert is_true(worst)
    best = float(re.findall(r"of the best one ([-\d.e]+)", worst.quantity)[0])
    assert best == pytest.approx(worst.measured, abs=1e-2)


SOMETHING = {
    "ten classes": (net(), groups, None),
    "numbers around 90 ± .1": (net(None, 1), numbers(0.1, 90.0), mse),
    "numbers around 50 ± .01": (net(None, 1), numbers(0.01, 50.0), mse),
    "small numbers": (net(None, 1), numbers(1e-3), mse),
    "two positives of 128": (
        net(None, 1), lambda: (torch.randn(128, 20), (torch.arange(128) < 2).float()[:, None]),
        bce),
    "one class in four samples": (net(), lambda: (torch.randn(4, 20), torch.full((4,), 3)), None),
    "a column of zeros among three": (
        net(None, 3), mapped(numbers(outputs=3), lambda y: y * torch.tensor([1.0, 1.0, 0.0])),
        mse),
    "no targets": (net(None, 16), numbers(), lambda o, y: (o.T @ o / 128 - torch.eye(16))
        .square().sum()),
    "label smoothing": (net(), groups, nn.CrossEntropyLoss(label_smoothing=0.2)),
}  # fmt: skip


@pytest.mark.parametrize("name", SOMETHING)
def test_targets_that_ask_for_something(name):
    found = start(SOMETHING[name])
    assert "IC812" not in told(found), str(found)


def with_answer():
    x, y = numbers()()
    return torch.cat([x[:, :19], y], 1), y


GIVEN = {
    "a column of the inputs": (net(None, 1), with_answer, mse),
    "labels that are not shifted": (language(norm=True, sigma=0.5), unshifted, tokenwise),
    "the last value of the window": (forecaster, series(0), mse),
    "the ids themselves": (
        lambda: nn.Sequential(nn.Embedding(50, 32), nn.Linear(32, 50)),
        unshifted,
        tokenwise,
    ),
}


@pytest.mark.parametrize("name", GIVEN)
def test_an_answer_that_is_in_the_input(name):
    found = start(GIVEN[name])
    answer = named(found, "IC813")
    assert answer.severity == "warning"
    assert found.verdict == "warn", str(found)
    assert is_true(answer)
    if "first loss" in answer.quantity:
        assert answer.measured == pytest.approx(found.losses[0], rel=1e-3)


ASKED = {
    "labels that are shifted": (language(norm=True, sigma=0.02), lambda: text(50), tokenwise),
    "a value after the window": (forecaster, series(5), mse),
    "an autoencoder": (coder(), sketches(), mse),
    "a column that is like the targets": (
        net(None, 1),
        mapped(with_answer, lambda y: y + 0.1 * torch.randn_like(y)),
        mse,
    ),
    "classes": (net(), groups, None),
}


@pytest.mark.parametrize("name", ASKED)
def test_an_answer_that_has_to_be_learnt(name):
    found = start(ASKED[name])
    assert "IC813" not in told(found), str(found)


def body(run, inner=20, **more):
    return lambda: Model(run, body=net(features=inner)(), **more)


SAME = {
    "shares as indices": (
        body(lambda m, x: m.body(m.table(x.sigmoid().long()).mean(1)), 16,
             table=nn.Embedding(10, 16)), groups, None),
    "every feature filtered": (
        body(lambda m, x: m.body(torch.where(x.abs() > 100, x, 0.0))), groups, None),
    "a sum of a softmax": (
        body(lambda m, x: m.body(m.a(x).softmax(1).sum(1, keepdim=True)), 1, a=nn.Linear(20, 8)),
        groups, None),
    "zeros in place of the input": (
        body(lambda m, x: m.body(torch.zeros_like(x))), groups, None),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_outputs_that_are_the_same_for_every_sample(name):
    found = start(SAME[name])
    assert found.verdict == "fail"
    assert found.findings[0].id in ("IC814", "IC401", "IC402"), str(found)
    assert "IC814" in told(found)


def test_inputs_that_are_the_same_for_every_sample_are_a_warning():
    found = judged(net(), lambda: (torch.ones(64, 20), torch.arange(64) % 10), steps=2)
    same = named(found, "IC814")
    assert (found.verdict, same.severity) == ("warn", "warning"), str(found)
    assert "the inputs are the same for every sample" in same.cause
    assert is_true(same)


def zero_head():
    model = net()()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return model


DIFFERENT = {
    "a zero head": (zero_head, groups, None),
    "one sample": (net(), lambda: groups(10, 1), None),
    "inputs and targets that are the same": (
        net(),
        lambda: (torch.ones(4, 20), torch.full((4,), 2)),
        None,
    ),
    "small differences": (
        net(),
        lambda: (torch.ones(64, 20) + 0.1 * torch.randn(64, 20), torch.arange(64) % 10),
        None,
    ),
    "a number for all": (
        net(None, 1),
        numbers(),
        lambda o, y: (o.mean() - y.mean()).square() + squared(o, y),
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_outputs_that_differ_between_samples(name):
    found = start(DIFFERENT[name])
    assert "IC814" not in told(found), str(found)


def pixels():
    x = torch.randn(8, 3, 10, 10)
    return x, x.argmax(1)


def scene():
    return nn.Sequential(nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 3, 1))


def speaker():
    return Model(lambda m, ids: m.head(m.body(m.embedding(ids))[0]), embedding=nn.Embedding(50, 32),
                 body=nn.GRU(32, 48, batch_first=True), head=nn.Linear(48, 50))  # fmt: skip


MIXED = {
    "pictures turned": (scene, pixels, lambda o, y: cross_entropy(o, y.transpose(1, 2))),
    "tokens of turned sequences": (
        speaker,
        lambda: text(50),
        lambda o, y: cross_entropy(o.flatten(0, 1), y.T.reshape(-1)),
    ),
    "the order of the batch": (net(None, 1), numbers(), lambda o, y: squared(o.flip(0), y)),
}


@pytest.mark.parametrize("name", MIXED)
def test_outputs_that_are_compared_with_the_targets_of_others(name):
    found = start(MIXED[name])
    worst = found.findings[0]
    assert (worst.id, worst.severity) == ("IC816", "error"), str(found)
    assert is_true(worst)


def test_a_view_in_the_place_of_a_permutation_is_what_pairs_them_wrongly():
    view = (scene, pixels, lambda o, y: cross_entropy(o.view(-1, 3), y.view(-1)))
    worst = start(view).findings[0]
    assert (worst.id, worst.severity) == ("IC819", "error")
    assert any("IC816" in told for told in worst.consequences)


PAIRED = {
    "channels moved last": (
        scene, pixels, lambda o, y: cross_entropy(o.permute(0, 2, 3, 1).reshape(-1, 3),
        y.reshape(-1))),
    "pictures": (scene, pixels, cross_entropy),
    "tokens": (speaker, lambda: text(50), tokenwise),
    "tokens shifted in the loss": (
        speaker, lambda: text(50), lambda o, y: cross_entropy(o[:, :-1].flatten(0, 1),
        y[:, 1:].reshape(-1))),
    "tokens shifted by a roll": (
        speaker, lambda: text(50), lambda o, y: cross_entropy(
            o.flatten(0, 1), y.roll(-1, 1).reshape(-1))),
    "a loss of all pairs": (
        net(None, 1), numbers(), lambda o, y: squared(o - o.T, y - y.T)),
    "classes": (net(), groups, cross_entropy),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRED)
def test_outputs_that_are_compared_with_their_own_targets(name):
    found = start(PAIRED[name])
    assert "IC816" not in told(found), str(found)


def tasks():
    x, y = numbers()()
    return x, {"size": y, "kind": torch.arange(128) % 3}


def in_tuple():
    x, y = numbers()()
    return x, (y, torch.arange(128) % 3)


SPARE = {
    "a kind that is not read": (net(None, 4), tasks, lambda o, t: mse(o[:, :1], t["size"]), "kind"),
    "a size that is read twice": (
        net(None, 4),
        tasks,
        lambda o, t: mse(o[:, :1], t["size"]) + mse(o[:, 1:2], t["size"]),
        "kind",
    ),
    "the second of two": (net(None, 4), in_tuple, lambda o, t: mse(o[:, :1], t[0]), "1"),
}


@pytest.mark.parametrize("name", SPARE)
def test_targets_that_nothing_reads(name):
    make, data, loss, spare = SPARE[name]
    found = judged(make, data, loss, steps=2)
    worst = named(found, "IC817")
    assert worst.severity == "warning"
    assert worst is found.findings[0]
    assert spare in re.findall(r"\((.*)\)", worst.quantity)[0]
    assert is_true(worst)


READ = {
    "both tasks": (
        net(None, 4), tasks,
        lambda o, t: mse(o[:, :1], t["size"]) + cross_entropy(o[:, 1:], t["kind"])),
    "a loss that needs no targets": (
        net(None, 4), tasks, lambda o, t: o.square().mean() - o.mean()),
    "one target": (net(None, 1), numbers(), mse),
    "a weight of the samples": (
        net(None, 4), in_tuple, lambda o, t: ((1 + t[1]) * (o[:, 0] - t[0][:, 0]).square()).mean()),
    "a step that leaves one aside": (
        net(None, 4), tasks, None, {"forward": lambda m, b: mse(m(b[0])[:, :1], b[1]["size"])}),
}  # fmt: skip


@pytest.mark.parametrize("name", READ)
def test_targets_that_are_read(name):
    found = start(READ[name])
    assert "IC817" not in told(found), str(found)


def test_the_floor_of_a_far_target_is_found_on_the_way_to_the_verdict():
    """The search once stopped at a ten-thousandth of the way: 90 ± .1 then asked for nothing."""
    start = started(lambda: (net(None, 1)(), numbers(0.1, 90.0)()))
    found = judged(lambda: start[0], lambda: start[1], mse)
    assert found.verdict == "pass", str(found)
    assert math.isclose(found.losses[0], 90**2, rel_tol=0.1)


def weighed(at):
    """A policy's loss, whose returns have the shape that ``at`` gives them."""

    def forward(model, batch):
        x, actions, returns = batch
        chosen = model(x).log_softmax(1).gather(1, actions[:, None]).squeeze(1)
        return -(chosen * at(returns)).mean()

    return forward


def played():
    x, y = groups()
    return x, y, torch.randn(len(y))


@pytest.mark.parametrize(
    ("at", "is_told"),
    [(lambda r: r[:, None], True), (lambda r: r, False), (lambda r: r - r.mean(), False)],
    ids=["column", "row", "advantage"],
)
def test_returns_that_weigh_all_samples_alike(at, is_told):
    torch.manual_seed(0)
    found = diagnose(net()(), played(), forward=weighed(at))
    assert ("IC811" in told(found)) == is_told, str(found)


def test_a_comparison_of_all_pairs_that_is_written_out_is_no_mistake():
    """The distance of two distributions: which sample lies where does not matter."""

    def loss_fn(out, y):
        far = (out[:, None] - y[None, :]).square().sum(-1).sqrt()
        return far.min(0).values.mean() + far.min(1).values.mean()

    torch.manual_seed(0)
    x = torch.randn(32, 20)
    found = diagnose(net(None, 3)(), (x, torch.randn(32, 3)), loss_fn=loss_fn)
    assert "IC811" not in told(found), str(found)
