"""A model that is copied inside of the pass that is observed, as meta-learning does."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose, watch


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))


def tasks(count=4):
    x = torch.randn(count, 16, 6, generator=torch.Generator().manual_seed(1))
    return x, torch.sin(2 * x[..., :1])


def adapted(model, x, y):
    """A copy after one step on the first half of a task, written to ``.data``."""
    fast = copy.deepcopy(model)
    loss = functional.mse_loss(fast(x[:8]), y[:8])
    for weight, step in zip(
        fast.parameters(), torch.autograd.grad(loss, list(fast.parameters())), strict=True
    ):
        weight.data -= 0.05 * step
    return fast


def test_a_loss_of_copies_alone_trains_nothing():
    def forward(model, batch):
        pairs = zip(*batch, strict=True)
        losses = [functional.mse_loss(adapted(model, x, y)(x[8:]), y[8:]) for x, y in pairs]
        return torch.stack(losses).mean()

    (found,) = diagnose(net(), tasks(), forward=forward).findings
    assert (found.id, found.severity) == ("IC401", "error")


def test_a_copy_beside_the_model_is_none_of_its_layers():
    """Its calls are not counted as the model's, and what is trained is found sound."""

    def forward(model, batch):
        x, y = batch
        with torch.no_grad():
            still = copy.deepcopy(model)(x)
        return functional.mse_loss(model(x), y) + 0.1 * functional.mse_loss(model(x), still)

    diagnosis = diagnose(net(), tasks(), forward=forward)
    assert diagnosis.verdict == "pass", str(diagnosis)
    assert [layer.name for layer in diagnosis.record.layers] == ["0", "2"]


def hooks(model):
    """All that is hooked to the modules of a model."""
    kinds = ("_forward_pre_hooks", "_forward_hooks")
    return [h for m in model.modules() for kind in kinds for h in getattr(m, kind).values()]


def test_a_copy_holds_no_copy_of_what_observes():
    """That would be all that was noted so far, at every copy; some of it cannot be copied."""
    alike, x = [], torch.randn(16, 6)

    def forward(model, batch):
        alike.append(hooks(copy.deepcopy(model)) == hooks(model))
        return model(batch).square().mean()

    diagnose(net(), x, forward=forward)
    assert alike
    assert all(alike)
    with watch(model := net(), optimizer := torch.optim.SGD(model.parameters(), 0.01), every=1):
        averaged = copy.deepcopy(model)
        assert hooks(averaged) == hooks(model)
        for _ in range(2):
            optimizer.zero_grad()
            averaged(x)
            model(x).square().mean().backward()
            optimizer.step()
