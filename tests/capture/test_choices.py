"""What the record says was taken for the loss, and what was left out of it."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


@dataclasses.dataclass
class Output:
    logits: torch.Tensor
    features: torch.Tensor


class Net(nn.Module):
    """Returns logits, features and whatever ``form`` makes of them."""

    def __init__(self, form):
        super().__init__()
        self.body, self.head, self.form = nn.Linear(20, 16), nn.Linear(16, 10), form

    def forward(self, x):
        features = self.body(x).relu()
        return self.form(self.head(features), features)


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell, self.head = nn.LSTM(20, 16, batch_first=True), nn.Linear(16, 10)

    def forward(self, x):
        output, states = self.cell(x[:, None])
        return self.head(output[:, -1]), states


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix, self.head = nn.MultiheadAttention(20, 2, batch_first=True), nn.Linear(20, 10)

    def forward(self, x):
        output, weights = self.mix(x[:, None], x[:, None], x[:, None])
        return self.head(output[:, -1]), weights


@pytest.fixture
def data():
    torch.manual_seed(0)
    return torch.randn(32, 20), torch.randint(0, 10, (32,))


@pytest.mark.parametrize(
    ("form", "taken", "left"),
    [
        (lambda a, b: (a, b), "output[0]", "output[1]"),
        (lambda a, b: [a, {"deep": [b]}], "output[0]", "output[1]['deep'][0]"),
        (lambda a, b: {"out": a, "aux": b}, "output['out']", "output['aux']"),
        (lambda a, b: (a, b.detach()), "output[0]", ""),
        (lambda a, b: (a, b.argmax(1)), "output[0]", ""),
        (lambda a, b: {"logits": a, "features": b}, "output['logits']", ""),
        (lambda a, b: Output(a, b), "output.logits", ""),
    ],
)
@pytest.mark.parametrize("loss", [None, functional.cross_entropy])
def test_what_was_taken_is_said_and_what_was_left_out_warned_of(data, form, taken, left, loss):
    found = diagnose(Net(form), data, loss, lambda p: torch.optim.SGD(p, lr=1e-2))
    assert found.record.meta["taken"] == f"output: {taken} for the loss"
    assert found.record.meta.get("left out", "") == left
    assert [f.quantity for f in found.findings if f.id == "IC823"] == (
        [f"left out of the loss: {left}"] if left else []
    )


@pytest.mark.parametrize("kind", [Recurrent, Attending])
def test_states_and_weights_of_torchs_layers_are_by_products(data, kind):
    found = diagnose(kind(), data)
    assert "taken" in found.record.meta
    assert not found.findings


def test_a_loss_of_ones_own_leaves_nothing_out(data):
    def loss(output, targets):
        return functional.cross_entropy(output[0], targets)

    found = diagnose(Net(lambda a, b: (a, b)), data, loss)
    assert "taken" not in found.record.meta
    assert "IC823" not in [f.id for f in found.findings]


@pytest.mark.parametrize("name", ["labels", "targets", "y"])
def test_the_targets_of_a_mapping_are_said(data, name):
    found = diagnose(Net(lambda a, b: a), {"x": data[0], name: data[1]})
    assert found.record.meta["taken"] == f"targets: batch[{name!r}], for the loss"
