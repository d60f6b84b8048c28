"""What was chosen and differs has a line of its own; what is no choice is a note."""

from __future__ import annotations

import functools

import pytest
import torch
from support.comparing import keys, rows, started
from torch import nn
from torch.nn import functional as F

from pytest_initcheck import Experiment, run
from pytest_initcheck.baseline import compare
from pytest_initcheck.baseline.configured import CONFIGURED, configured
from pytest_initcheck.records import RunRecord


def chosen(found):
    return [key for key in keys(found) if key.startswith("configured ")]


@functools.cache
def plain(seed=0):
    return started(seed=seed, loss_fn=nn.CrossEntropyLoss())


def sgd(**options):
    return {"optimizer": lambda p: torch.optim.SGD(p, **{"lr": 1e-2, **options})}


def adam(**options):
    return {"optimizer": lambda p: torch.optim.Adam(p, lr=1e-2, **options)}


def test_the_same_choices_match_whoever_wrote_them():
    assert compare(started(loss_fn=nn.CrossEntropyLoss(), **sgd()), plain()).status == "match"
    same = nn.CrossEntropyLoss(reduction="mean", label_smoothing=0.0)
    assert compare(started(loss_fn=same, **sgd(foreach=False)), plain()).status == "match"


@pytest.mark.parametrize(
    ("options", "key"),
    [
        (sgd(momentum=0.9), "optimizer"),
        (sgd(weight_decay=1e-6), "optimizer"),
        (sgd(momentum=0.9, nesterov=True), "optimizer"),
        (sgd(lr=1.001e-2), "lr"),
        (adam(), "optimizer"),
        ({"steps": 4}, "steps"),
        ({"loss_fn": nn.CrossEntropyLoss(reduction="sum")}, "loss"),
        ({"loss_fn": nn.CrossEntropyLoss(label_smoothing=0.001)}, "loss"),
    ],
)
@pytest.mark.parametrize("seed", [0, 77], ids=["same", "fresh"])
def test_each_choice_is_one_line(options, key, seed):
    found = compare(started(**{"loss_fn": nn.CrossEntropyLoss(), **options}), plain(seed))
    assert found.status == "changed"
    assert chosen(found) == [f"configured {key}"]
    assert keys(found)[0] == f"configured {key}"


def test_settings_of_one_optimiser_are_told_apart():
    first, second = (started(**adam(betas=betas)) for betas in ((0.9, 0.999), (0.9, 0.95)))
    found = compare(second, first)
    assert chosen(found) == ["configured optimizer"]
    (line,) = (d for d in found.differences if d.key == "configured optimizer")
    assert (line.actual, line.expected) == ("Adam(betas=(0.9, 0.95))", "Adam")


LOSSES = {
    "module": nn.CrossEntropyLoss,
    "partial": lambda **options: functools.partial(F.cross_entropy, **options),
}


@pytest.mark.parametrize("way", LOSSES)
@pytest.mark.parametrize("options", [{"reduction": "sum"}, {"label_smoothing": 0.25}])
def test_a_loss_with_other_settings_is_one_line(way, options):
    # Without a step the numbers would tell it, too; with fresh seeds they need not.
    found = compare(started(loss_fn=LOSSES[way](**options)), started(loss_fn=LOSSES[way](), seed=3))
    assert chosen(found) == ["configured loss"]


def documented(output, target):
    """One text."""
    return 0.5 * F.cross_entropy(output, target)


def reworded(output, target):
    """Another text."""
    scores = output[:64]
    return 0.5 * F.cross_entropy(scores, target)


def changed(output, target):
    """One text."""
    return 0.75 * F.cross_entropy(output, target)


def named(function, name="loss"):
    function.__name__ = name
    return function


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (
            lambda o, t: F.cross_entropy(o, t),
            lambda o, t: F.cross_entropy(o, t, label_smoothing=0.2),
        ),
        (
            lambda o, t: F.cross_entropy(o, t, reduction="mean"),
            lambda o, t: F.cross_entropy(o, t, reduction="sum"),
        ),
        (lambda o, t: F.cross_entropy(o, t), lambda o, t: F.multi_margin_loss(o, t)),
        (named(documented), named(changed)),
    ],
)
def test_a_loss_of_another_body_is_one_line(was, now):
    found = compare(started(loss_fn=now), started(loss_fn=was, seed=3))
    assert chosen(found) == ["configured loss calls"]


def test_integers_and_documentation_are_no_choice():
    found = compare(started(loss_fn=named(reworded)), started(loss_fn=named(documented)))
    assert (found.status, chosen(found)) == ("match", [])


def test_a_changed_forward_is_one_line():
    def was(model, batch):
        return F.cross_entropy(model(batch[0]), batch[1])

    def now(model, batch):
        return F.cross_entropy(model(batch[0]) * 2.5, batch[1])

    found = compare(started(forward=now), started(forward=was, seed=3))
    assert chosen(found) == ["configured loss calls"]


def test_a_group_with_another_rate_is_told():
    def groups(rate):
        def make(parameters):
            first, *rest = parameters
            return torch.optim.SGD([{"params": [first], "lr": rate}, {"params": rest}], lr=0.01)

        return {"optimizer": make}

    found = compare(started(**groups(0.02)), started(**groups(0.01)))
    (line,) = (d for d in found.differences if d.key == "configured lr")
    assert (line.actual, line.expected) == ("0.02, 0.01", "0.01")


def test_runs_over_seeds_differ_by_what_was_chosen():
    def trained(**options):
        options = {"epochs": 2, "batch_size": 32, "optimizer": torch.optim.Adam, **options}
        experiment = Experiment(model=lambda: nn.Linear(16, 5), data=rows(0), **options)
        return run(experiment, seeds=range(4), progress=False)

    first = trained()
    assert compare(trained(), first).status == "match"
    for options, key in (
        ({"epochs": 1}, "epochs"),
        ({"batch_size": 16}, "batch size"),
        ({"optimizer": torch.optim.SGD}, "optimizer"),
        ({"loss": nn.CrossEntropyLoss(label_smoothing=0.5)}, "loss"),
    ):
        assert chosen(compare(trained(**options), first)) == [f"configured {key}"]


# The rule alone


def lines(actual, expected):
    return [d.key for check in configured(actual, expected) if (d := check.judge(0.0))]


def test_the_body_of_a_loss_is_compared_where_both_sides_have_one():
    # A loss that is no function, or a baseline that is older than this, has none.
    other = {"loss": "mse"}
    key = "loss calls"
    assert lines({**other, key: "a"}, {**other, key: "b"}) == [f"configured {key}"]
    assert lines(other, {**other, key: "b"}) == lines({**other, key: "a"}, other) == []


@pytest.mark.parametrize("key", [key for key in CONFIGURED if key != "loss calls"])
def test_a_setting_that_one_side_lacks_is_a_difference(key):
    other = {"epochs": "3"} if key != "epochs" else {"steps": "3"}
    assert lines({**other, key: "a"}, {**other, key: "b"}) == [f"configured {key}"]
    assert lines(other, {**other, key: "b"}) == [f"configured {key}"]
    assert lines({**other, key: "a"}, other) == [f"configured {key}"]
    assert lines({key: "a"}, {key: "a"}) == []


def test_a_baseline_without_any_setting_is_older_and_asks_for_none():
    assert lines({"optimizer": "SGD", "lr": "1"}, {"device": "cpu"}) == []
    assert lines({}, {"optimizer": "SGD"}) == ["configured optimizer"]


def test_no_tolerance_lets_a_choice_pass():
    a, b = (RunRecord(meta={"lr": lr}, metrics={"a": (1.0,)}) for lr in ("0.1", "0.2"))
    assert keys(compare(a, b, rtol=9.0, atol=9.0, least=9.0)) == ["configured lr"]


def test_what_is_no_choice_is_a_note():
    a, b = (RunRecord(meta={"lr": "1", "dtype": t}, metrics={"a": (1.0,)}) for t in ("x", "y"))
    found = compare(a, b)
    assert (found.status, found.notes) == ("match", ("dtype: x, in the baseline y",))
