"""Remedies reach data and optimiser in every form in which they can be passed."""

from __future__ import annotations

from collections import UserDict
from collections.abc import Mapping

import pytest
import torch
from support.starts import Model, adam, bits, ids, labelled, lines, mlp, named, sgd
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


class Record(dict):
    """A mapping of a class of its own, as data loaders give them."""


def body():
    return mlp(nn.ReLU, 20, 32, 32, 3)


class Named(nn.Module):
    """Takes its input by name, and no other."""

    def __init__(self, *sizes):
        super().__init__()
        self.body = mlp(nn.ReLU, *(sizes or (20, 32, 32, 3)))

    def forward(self, x):
        return self.body(x)


def second(m, a, b):
    """The first input is small, the second one drives the model."""
    return m.body(b) + 1e-3 * a.mean(1, keepdim=True)


def own(model, batch):
    return functional.cross_entropy(model(batch["x"]), batch["y"])


def triple(model, batch):
    return functional.cross_entropy(model(batch[0]), batch[1]) * batch[2]


def nested(model, batch):
    return functional.cross_entropy(model(batch["data"]["x"][0]), batch["y"])


def summed(output):
    return output.square().mean()


X, Y = labelled()
LARGE = 1000 * X
QUIET = "with torch.no_grad():\n    "
# A model, a batch whose inputs are too large, options, and where the code has to reach.
FORMS = {
    "pair": (body, (LARGE, Y), {}, "inputs ="),
    "list": (body, [LARGE, Y], {}, "inputs ="),
    "two inputs": (lambda: Model(second, body=body()), ((X, LARGE), Y), {}, "inputs[1]."),
    "inputs by name": (Named, ({"x": LARGE}, Y), {}, "inputs['x']."),
    "mapping": (Named, {"x": LARGE, "labels": Y}, {},
                "batch['x']."),
    "mapping of another class": (Named,
                                 UserDict(x=LARGE, labels=Y), {}, "batch['x']."),
    "dict of a class of its own": (Named,
                                   Record(x=LARGE, labels=Y), {}, "batch['x']."),
    "inputs in such a mapping": (Named, (UserDict(x=LARGE), Y), {}, "inputs['x']."),
    "inputs alone": (body, LARGE, {"loss_fn": summed}, "inputs ="),
    "forward": (body, {"x": LARGE, "y": Y}, {"forward": own}, "batch['x']."),
    "forward of three": (body, (LARGE, Y, 0.5), {"forward": triple}, "batch[0]."),
    "forward of a nest": (body, {"data": {"x": [LARGE]}, "y": Y}, {"forward": nested},
                          "batch['data']['x'][0]."),
}  # fmt: skip


def leaves(given):
    """All that a batch holds, in its order, whatever holds it."""
    if isinstance(given, Mapping):
        return [leaf for value in given.values() for leaf in leaves(value)]
    if isinstance(given, (list, tuple)):
        return [leaf for value in given for leaf in leaves(value)]
    return [given] if not hasattr(given, "__dataclass_fields__") else leaves(vars(given))


@pytest.mark.parametrize("form", FORMS)
def test_large_inputs_are_standardised_where_they_lie(form):
    make, batch, options, place = FORMS[form]
    model = make()
    before = bits(model, LARGE, X)
    found = diagnose(model, batch, **options)
    assert named(found, "IC701").remedy_code.removeprefix(QUIET).startswith(place)
    after = found.try_remedy()
    assert "IC701" not in ids(after), str(after)
    assert after.verdict == "pass", str(after)
    assert after.record.inputs.std == pytest.approx(1, rel=0.02)
    kept, given = map(leaves, (after.subject.batch, batch))
    assert [*map(id, kept)] == [*map(id, given)]
    assert bits(model, LARGE, X) == before


TARGETS = {
    "pair": (lambda: mlp(nn.ReLU, 20, 32, 1), lambda x, y: (x, y), "targets ="),
    "mapping": (lambda: Named(20, 32, 1),
                lambda x, y: {"x": x, "y": y}, "batch['y']."),
}  # fmt: skip


@pytest.mark.parametrize("form", TARGETS)
def test_large_targets_are_standardised_where_they_lie(form):
    make, wrap, place = TARGETS[form]
    (x, y), model = lines(scale=1e4), make()
    before = bits(model, x, y)
    found = diagnose(model, wrap(x, y), optimizer=adam(1e-3))
    assert named(found, "IC702").remedy_code.removeprefix(QUIET).startswith(place)
    after = found.try_remedy()
    assert after.verdict == "pass", str(after)
    assert after.record.targets.std == pytest.approx(1, rel=0.02)
    assert bits(model, x, y) == before


def test_inputs_that_require_gradients_are_standardised():
    x = LARGE.clone().requires_grad_()
    model = Named()
    found = diagnose(model, ({"x": x}, Y))
    assert named(found, "IC701").remedy_code
    assert found.try_remedy().verdict == "pass"
    assert x.is_leaf
    assert x.grad is None
    assert torch.equal(x, LARGE)


def test_data_that_code_cannot_reach_have_none():
    pictures = (torch.rand(32, 20) * 255).to(torch.uint8)
    model = Model(lambda m, x: m.body(x.float()), body=body())
    found = diagnose(model, (pictures, Y[:32]))
    assert named(found, "IC701").remedy_code == ""


def test_small_inputs_beside_large_labels_are_still_small():
    model = Named()
    small, kinds = X * 1e-4, Y
    assert "IC701" in ids(diagnose(model, (small, kinds)))
    assert "IC701" in ids(diagnose(model, {"x": small, "labels": kinds}))


RATES = {
    "zero": (sgd(0.0), "IC601"),
    "far too small": (sgd(1e-12), "IC601"),
    "far too large": (sgd(300.0), "IC603"),
    "Adam's, far too large": (adam(3.0), "IC603"),
}


@pytest.mark.parametrize("rate", RATES)
def test_the_rate_is_mended_and_the_optimiser_kept(rate):
    optimizer, id = RATES[rate]
    model = mlp(nn.ReLU, 20, 64, 64, 3)
    before = bits(model, X, Y)
    found = diagnose(model, (X, Y), optimizer=optimizer)
    assert ids(found)[0] == id, str(found)
    after = found.try_remedy()
    assert "optimizer.param_groups" in after.applied[0]
    assert after.verdict == "pass", str(after)
    assert after.record.meta["optimizer"] == found.record.meta["optimizer"]
    assert 0 < float(after.record.meta["lr"]) != float(found.record.meta["lr"])
    assert optimizer in after.subject.optimizer.args
    assert bits(model, X, Y) == before


def test_every_group_of_the_optimiser_is_mended():
    def grouped(parameters):
        first, *rest = parameters
        return torch.optim.SGD([{"params": [first], "lr": 0.0}, {"params": rest}], 1e-13)

    after = diagnose(mlp(nn.ReLU, 20, 64, 3), (X, Y), optimizer=grouped).try_remedy()
    assert after.verdict == "pass", str(after)
    ratios = [layer.update_ratio["weight"] for layer in after.after.layers]
    assert min(ratios) > 1e-6


def test_data_and_weights_are_mended_together():
    model = mlp(nn.Tanh, 20, 32, 32, 3)
    for layer in (model[0], model[2]):
        nn.init.constant_(layer.weight, 0.1)
    found = diagnose(model, (LARGE, Y))
    after = found.try_remedy()
    assert after.verdict == "pass", str(after)
    assert len(after.applied) == 2
    assert any(code.startswith("inputs") for code in after.applied)
