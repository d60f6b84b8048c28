"""A loss by name, as a class, and as what returns a mapping."""

from __future__ import annotations

import pytest
from torch import nn
from torch.nn import functional

from pytest_initcheck import InitcheckError, diagnose


@pytest.mark.parametrize(
    "given",
    ["cross_entropy", "ce", "CrossEntropyLoss", nn.CrossEntropyLoss, nn.CrossEntropyLoss()],
    ids=str,
)
def test_all_ways_to_name_a_loss_give_it(net, data, given):
    assert diagnose(net, data, given).losses == diagnose(net, data, functional.cross_entropy).losses


def test_what_was_made_of_a_name_is_said(net, data):
    found = diagnose(net, data, "cross_entropy")
    assert found.record.meta["loss"] == "cross_entropy"
    assert found.record.meta["taken"] == "loss_fn: torch's 'cross_entropy'"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("crossentropy", "pass loss_fn='cross_entropy'"),
        ("nothing like it", "pass loss_fn='cross_entropy', 'mse_loss' or a function"),
        (nn.AdaptiveLogSoftmaxWithLoss, r"which needs arguments .* pass loss_fn=Adaptive"),
    ],
    ids=str,
)
def test_a_name_that_is_none_is_refused(net, data, given, said):
    with pytest.raises(InitcheckError, match=said):
        diagnose(net, data, given)


@pytest.mark.parametrize(
    ("returns", "said"),
    [
        (lambda loss: {"loss": loss, "accuracy": 0.5}, "'loss' of what was returned"),
        (lambda loss: {"a": loss / 2, "b": loss / 2}, "the sum of a, b"),
        (lambda loss: (loss, {"accuracy": 0.5}), "the scalar among the 2"),
    ],
)
def test_a_forward_may_return_more_than_the_loss(net, data, returns, said):
    def forward(model, batch):
        return returns(functional.cross_entropy(model(batch[0]), batch[1]))

    found = diagnose(net, data, forward=forward)
    assert found.losses == pytest.approx(diagnose(net, data).losses, rel=1e-5)
    assert said in found.record.meta["taken"]


def test_a_loss_may_return_a_mapping(net, data):
    def loss(output, targets):
        return {"loss": functional.cross_entropy(output, targets), "other": 3}

    assert diagnose(net, data, loss).losses == diagnose(net, data).losses
