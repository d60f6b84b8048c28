"""Bad input gets one InitcheckError that says what to pass, and nothing is left changed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.errors import InitcheckError


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def data():
    torch.manual_seed(1)
    return torch.randn(8, 6), torch.randint(0, 3, (8,))


class Raises(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Linear(6, 3)

    def forward(self, x):
        raise ValueError("no such feature")


class Returns(nn.Module):
    """Returns what ``change`` makes of the logits."""

    def __init__(self, change):
        super().__init__()
        self.body, self.change = nn.Linear(6, 3), change

    def forward(self, x):
        return self.change(self.body(x))


def batch(x=None, y=None):
    known = data()
    return known[0] if x is None else x, known[1] if y is None else y


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def summed(output, targets):
    return functional.cross_entropy(output, targets, reduction="none")


# What is passed, and words that the message must have: what is wrong, and what to pass.
CASES = {
    "a forward that raises": (lambda: (Raises(), data()), {}, ["no such feature", "pass"]),
    "inputs of another width": (
        lambda: (net(), batch(torch.randn(8, 5))), {}, ["forward raised RuntimeError", "pass"]),
    "a batch on another device": (
        lambda: (net(), batch(torch.randn(8, 6, device="meta"))), {}, ["meta", "device"]),
    "targets on another device": (
        lambda: (net(), batch(None, torch.zeros(8, device="meta").long())), {}, ["meta", "device"]),
    "a model on the meta device": (
        lambda: (net().to("meta"), data()), {}, ["meta", "to_empty"]),
    "no parameters": (lambda: (nn.ReLU(), data()), {}, ["no parameters", "pass"]),
    "integer outputs": (
        lambda: (Returns(lambda out: out.argmax(1)), data()), {}, ["int64", "pass"]),
    "no tensor as output": (lambda: (Returns(lambda out: "text"), data()), {}, ["str", "pass"]),
    "a loss per sample": (lambda: (net(), data()), {"loss_fn": summed}, ["(8,)", "scalar"]),
    "a loss that is a number": (
        lambda: (net(), data()), {"loss_fn": lambda out, y: 1.0}, ["float", "tensor"]),
    "no loss": (lambda: (net(), data()), {"loss_fn": lambda out, y: None}, ["None", "tensor"]),
    "a detached loss": (
        lambda: (net(), data()),
        {"loss_fn": lambda out, y: functional.cross_entropy(out.detach(), y)}, ["detach"]),
    "an output under no_grad": (
        lambda: (Returns(lambda out: out.detach()), data()), {}, ["detach"]),
    "a loss that raises": (
        lambda: (net(), data()), {"loss_fn": lambda out, y: out + y["a"]}, ["loss_fn raised"]),
    "a loss of another arity": (
        lambda: (net(), data()), {"loss_fn": lambda out: out.sum()}, ["loss_fn raised", "targets"]),
    "an empty batch": (
        lambda: (net(), (torch.empty(0, 6), torch.empty(0).long())), {}, ["empty", "pass"]),
    "NaN in the inputs": (
        lambda: (net(), batch(torch.full((8, 6), float("nan")))), {}, ["48", "finite"]),
    "infinite targets": (
        lambda: (net(), batch(None, torch.full((8, 3), float("inf")))), {}, ["24", "finite"]),
    "a class out of range": (
        lambda: (net(), batch(None, torch.full((8,), 3))), {}, ["3 classes", "0 to 2"]),
    "a negative class": (
        lambda: (net(), batch(None, torch.full((8,), -1))), {}, ["-1", "0 to 2"]),
    "classes of another shape": (
        lambda: (net(), batch(None, torch.zeros(8, 2).long())), {}, ["(8, 2)", "(8, 3)"]),
    "fewer classes than samples": (
        lambda: (net(), batch(None, torch.zeros(7).long())), {}, ["(7,)", "(8, 3)"]),
    "targets of another shape": (
        lambda: (net(), batch(None, torch.zeros(8))), {}, ["(8,)", "(8, 3)", "loss_fn"]),
    "inputs alone and no loss": (lambda: (net(), data()[0]), {}, ["loss_fn", "forward"]),
    "a class that needs arguments": (lambda: (nn.Linear, data()), {}, ["lambda: Linear(…)"]),
    "a function that returns no model": (lambda: (data, data()), {}, ["tuple", "nn.Module"]),
    "None in place of a model": (lambda: (None, data()), {}, ["NoneType", "nn.Module"]),
    "an optimiser's name": (lambda: (net(), data()), {"optimizer": "adam"}, ["adam", "optim.Adam"]),
    "a function that makes no optimiser": (
        lambda: (net(), data()), {"optimizer": lambda p: None}, ["NoneType", "Optimizer"]),
    "an optimiser of a negative rate": (
        lambda: (net(), data()), {"optimizer": lambda p: torch.optim.Adam(p, -1)},
        ["learning rate", "pass"]),
    "an unknown device": (lambda: (net(), data()), {"device": "abacus"}, ["abacus", "pass"]),
    "a device that is a list": (lambda: (net(), data()), {"device": [1]}, ["device", "pass"]),
    "no steps": (lambda: (net(), data()), {"steps": 0}, ["0", "1 up"]),
    "True steps": (lambda: (net(), data()), {"steps": True}, ["True", "1 up"]),
    "half a step": (lambda: (net(), data()), {"steps": 1.5}, ["1.5", "1 up"]),
    "negative steps": (lambda: (net(), data()), {"steps": -3}, ["-3", "1 up"]),
    "a batch of one": (lambda: (net(), (data()[0],)), {}, ["no targets", "(inputs, targets)"]),
    "None in place of a batch": (lambda: (net(), None), {}, ["pass"]),
    "a loss and a forward": (
        lambda: (net(), data()),
        {"loss_fn": functional.cross_entropy, "forward": lambda m, b: m(b[0]).sum()}, ["one of"]),
    "a forward that is no function": (lambda: (net(), data()), {"forward": 3}, ["forward", "pass"]),
    "a loss that is no function": (
        lambda: (net(), data()), {"loss_fn": "mse"}, ["loss_fn", "pass"]),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_input_gets_one_clear_error_and_changes_nothing(name):
    make, options, words = CASES[name]
    model, passed = make()
    is_model = isinstance(model, nn.Module)
    before = {n: (t, t.clone()) for n, t in model.state_dict().items()} if is_model else {}
    stream = torch.get_rng_state()
    with pytest.raises(InitcheckError) as caught:
        diagnose(model, passed, **options)
    text = str(caught.value)
    assert all(word in text for word in words), text
    assert "\n" not in text
    assert len(text) < 500
    assert torch.equal(stream, torch.get_rng_state())
    if is_model:
        for key, value in model.state_dict().items():
            assert value.data_ptr() == before[key][0].data_ptr()
            assert value.is_meta or torch.equal(value, before[key][1])
        assert all(p.grad is None for p in model.parameters())
        assert model.training


def test_a_batch_is_moved_where_a_device_is_named():
    model, (x, y) = net(), data()
    assert diagnose(model, (x, y), device="cpu").verdict == "pass"
    assert diagnose(model, (x, y), device=torch.device("cpu")).verdict == "pass"


NAN = float("nan")


def labels_with_gaps():
    x, _ = data()
    y = x.sum(1, keepdim=True).expand(8, 3).clone()
    y[::3] = NAN
    return x, y


def kept(output, y):
    return functional.mse_loss(output[y.isfinite()], y[y.isfinite()])


def weighted(output, y):
    """NaN times zero is NaN."""
    return ((output - y).square() * y.isfinite()).mean()


def chosen(output, y):
    """Finite, but what comes back through the branch that is not taken is NaN times zero."""
    return torch.where(y.isfinite(), (output - y).square(), 0.0).mean()


@pytest.mark.parametrize(("loss", "is_masked"), [(kept, True), (weighted, False), (chosen, False)])
def test_labels_that_are_missing_are_data_where_the_loss_leaves_them_aside(loss, is_masked):
    model, given = net(), labels_with_gaps()
    if is_masked:
        found = diagnose(model, given, loss)
        assert found.verdict == "pass", str(found)
        return
    with pytest.raises(InitcheckError, match="9 values that are NaN"):
        diagnose(model, given, loss)


class Set(nn.Module):
    """Points of which some are missing, and the largest and the mean of the others."""

    def __init__(self, *, hides=True):
        super().__init__()
        torch.manual_seed(0)
        self.point, self.head, self.hides = nn.Linear(6, 16), nn.Linear(32, 3), hides

    def forward(self, x):
        there = ~x.isnan().any(-1, keepdim=True)
        h = torch.relu(self.point(x.nan_to_num() if self.hides else x))
        largest = h.masked_fill(~there, -torch.inf).amax(1)
        return self.head(torch.cat([largest, (h * there).sum(1) / there.sum(1)], 1))


def sets():
    torch.manual_seed(2)
    x = torch.randn(24, 10, 6)
    x[torch.rand(24, 10) < 0.3] = NAN
    return x, torch.arange(24) % 3


def test_places_that_a_model_masks_are_data():
    found = diagnose(Set(), sets())
    assert found.verdict == "pass", str(found)
    assert found.dependencies().unread == ()
    with pytest.raises(InitcheckError, match="NaN"):
        diagnose(Set(hides=False), sets())


def test_nan_from_the_model_is_a_finding_and_no_error():
    model = net()
    nn.init.constant_(model[0].weight, float("inf"))
    assert diagnose(model, data()).verdict == "fail"
