"""Batches that the program changes in place, again and again, and those that it leaves alone."""

from __future__ import annotations

import contextlib

import pytest
import torch
from hypothesis import given, settings, strategies
from support.starts import Model, ids, labelled
from support.state import changed, fingerprint
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


class Away(nn.Module):
    """Reads what it is given without keeping it for the gradient."""

    def forward(self, x):
        return x + 1


def net(first=lambda m, x: None, last=lambda m, x: None, front=nn.Identity):
    """A network that does something to its inputs before, and after, it reads them."""

    def run(m, x):
        first(m, x)
        out = m.head(m.body(m.front(x)).relu())
        last(m, x)
        return out

    torch.manual_seed(0)
    return Model(run, body=nn.Linear(20, 32), head=nn.Linear(32, 3), mix=nn.Linear(20, 20),
                 shift=torch.linspace(-1, 1, 20), front=front())  # fmt: skip


def written(model, batch=None, loss_fn=None, **options):
    """What is said of the batch, once it is sure that the diagnosis left no trace in it."""
    batch = labelled() if batch is None else batch
    before = fingerprint(model, batch)
    found = diagnose(model, batch, loss_fn, **options)
    assert changed(before, fingerprint(model, batch)) == []
    return [finding.cause for finding in found.findings if finding.id == "IC109"]


def spoil(change, *, side=1):
    """A loss that changes outputs (0) or targets (1) first."""

    def loss(*sides):
        change(sides[side])
        return functional.cross_entropy(sides[0], sides[1].clamp(0, 2))

    return loss


def masked(m, x):
    x.masked_fill_(torch.rand_like(x) < 0.1, 0)


FAULTS = {
    "division": net(lambda m, x: x.div_(2)),
    "division by 255": net(lambda m, x: x.div_(255)),
    "a constant that is subtracted": net(lambda m, x: x.sub_(m.shift)),
    "a residual": net(lambda m, x: x.add_(m.mix(x.clone()).detach())),
    "an augmented assignment": net(lambda m, x: x.__iadd__(m.shift)),
    "noise": net(lambda m, x: x.add_(torch.randn_like(x))),
    "a mask that is drawn": net(masked),
    "a leaky rectifier": net(front=lambda: nn.LeakyReLU(0.1, inplace=True)),
    "a swish": net(front=lambda: nn.SiLU(inplace=True)),
    "a view": net(lambda m, x: x[:, :4].mul_(0.9)),
    "data": net(lambda m, x: x.data.mul_(0.9)),
    "NumPy": net(lambda m, x: x.numpy().__imul__(0.9)),
    "after it was read": net(last=lambda m, x: x.mul_(0.9), front=Away),
    "a shape": net(last=lambda m, x: x.unsqueeze_(1), front=Away),
    "one column": net(lambda m, x: x[:, 0].add_(1)),
    "an order": net(lambda m, x: x.copy_(x.roll(1, 1))),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_inputs_that_every_pass_changes_are_named(name):
    (cause,) = written(FAULTS[name])
    assert "writes to inputs in place" in cause


SOUND = {
    "nothing": net(),
    "a rectifier": net(front=lambda: nn.ReLU(inplace=True)),
    "a rectifier of at most 6": net(front=lambda: nn.ReLU6(inplace=True)),
    "a clamp": net(lambda m, x: x.clamp_(-1, 1)),
    "a mean that is taken off": net(lambda m, x: x.sub_(x.mean(0))),
    "a mean and a deviation": net(lambda m, x: x.sub_(x.mean(0)).div_(x.std(0))),
    "rows of norm 1": net(lambda m, x: x.div_(x.norm(dim=1, keepdim=True))),
    "a range from 0 to 1": net(lambda m, x: x.sub_(x.min()).div_(x.max())),
    "a column of zeros": net(lambda m, x: x[:, 0].zero_()),
    "the same mask": net(lambda m, x: x.masked_fill_(m.shift < 0, 0)),
    "what there is no number for": net(lambda m, x: x.nan_to_num_(0)),
    "a copy": net(lambda m, x: x.clone().mul_(2)),
    "the output of a layer": net(lambda m, x: m.mix(x).mul_(2)),
    "values that are rounded": net(lambda m, x: x.round_(decimals=2)),
    "an order that stays": net(lambda m, x: x.copy_(x.sort(1)[0])),
    "the same values": net(lambda m, x: x.copy_(x.clone())),
    "memory of its own": net(lambda m, x: m.shift.mul_(0.9)),
    "dropout": net(front=lambda: nn.Dropout(0.5, inplace=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_stays_after_the_first_pass_is_no_finding(name):
    assert written(SOUND[name]) == []


@pytest.mark.parametrize(("change", "is_fault"), [
    (lambda y: y.add_(1), True), (lambda y: y.neg_(), True), (lambda y: y.clamp_(0, 1), False),
    (lambda y: y.masked_fill_(y == 2, 0), False), (lambda y: y + 1, False),
])  # fmt: skip
def test_the_loss_may_write_to_the_targets(change, is_fault):
    causes = written(net(), loss_fn=spoil(change))
    assert ["writes to targets" in cause for cause in causes] == [True] * is_fault


def test_what_the_loss_does_to_the_output_is_its_own_affair():
    assert written(net(), loss_fn=spoil(lambda out: out.mul_(2), side=0)) == []


def test_forward_is_held_to_the_same():
    def forward(model, batch):
        batch["x"] /= 2
        return functional.cross_entropy(model(batch["x"]), batch["y"])

    (cause,) = written(net(), dict(zip("xy", labelled(), strict=True)), forward=forward)
    assert "writes to batch['x'] in place" in cause


def test_several_places_are_told_at_once():
    def forward(model, batch):
        batch[1].add_(1)
        return functional.cross_entropy(model(batch[0].mul_(2)), batch[1].clamp(0, 2))

    (cause,) = written(net(), forward=forward)
    assert "writes to inputs and targets in place" in cause


def test_what_is_taken_out_of_a_mapping_is_no_writing():
    def forward(model, batch):
        targets = batch.pop("y")
        return functional.cross_entropy(model(batch["x"].relu_()), targets)

    assert written(net(), dict(zip("xy", labelled(), strict=True)), forward=forward) == []


def test_it_is_a_warning_of_its_own():
    found = diagnose(FAULTS["division"], labelled())
    assert ids(found) == ["IC109"], str(found)
    assert found.verdict == "warn"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_rounding_is_no_change_in_any_precision(kind):
    x, y = labelled()
    model = net(lambda m, x: x.sub_(x.mean(0))).to(kind)
    assert written(model, ((10 * x + 100).to(kind), y)) == []
    assert written(net(lambda m, x: x.mul_(0.9)).to(kind), (x.to(kind), y)) != []


@settings(max_examples=25, deadline=None)
@given(factor=strategies.sampled_from([0.5, 0.9, 1.0, 1.1, 2.0]),
       shift=strategies.sampled_from([-1.0, 0.0, 0.25]))  # fmt: skip
def test_a_line_in_place_is_told_unless_it_leaves_all_as_it_is(factor, shift):
    causes = written(net(lambda m, x: x.mul_(factor).add_(shift)), steps=1)
    assert bool(causes) == ((factor, shift) != (1.0, 0.0))


def test_a_second_pass_that_fails_leaves_no_trace():
    def once(m, x):
        if float(x.abs().max()) > 50:
            raise ValueError("too large")
        x.mul_(20)

    with contextlib.suppress(ValueError):
        assert written(net(once)) == []
