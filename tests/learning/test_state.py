"""Asking whether a model learns leaves everything as it was, bit for bit."""

from __future__ import annotations

import pytest
import torch
from support import learning as programs
from support.state import Everything, changed, fingerprint
from torch import nn

from pytest_initcheck import diagnose, learns
from pytest_initcheck.errors import InitcheckError

KINDS = [
    programs.classifier, programs.residual_images, programs.variational, programs.dropout_kept,
    programs.noise_from_a_generator, programs.sparse_table, programs.second_order,
    programs.language_model, programs.dead, programs.not_a_number, programs.both_steps_of_a_game,
    programs.optimiser_of_another_model,
]  # fmt: skip


@pytest.mark.parametrize("program", [pytest.param(p, id=p.__name__) for p in KINDS])
def test_everything_is_put_back(program):
    torch.manual_seed(0)
    model, batch, options = program()
    before = fingerprint(model, batch)
    learns(model, batch, **options)
    assert changed(before, fingerprint(model, batch)) == []


def everything():
    torch.manual_seed(0)
    model = Everything()
    batch = torch.randn(16, 8), torch.randint(3, (16,))
    return model, batch


def test_a_model_that_holds_all_kinds_of_state_is_put_back():
    model, batch = everything()
    model(batch[0].clone()).sum().backward()
    before = fingerprint(model, batch)
    learns(model, batch, optimizer=programs.adam())
    assert changed(before, fingerprint(model, batch)) == []
    assert model.calls == 1
    assert model.drop.p == 0.3


def test_what_the_optimiser_holds_beside_the_model_is_put_back():
    torch.manual_seed(0)
    model, batch, _ = programs.classifier()
    scale = torch.ones((), requires_grad=True)
    loss = lambda output, y: nn.functional.cross_entropy(scale * output, y)  # noqa: E731
    learns(model, batch, loss, lambda p: torch.optim.Adam([*p, scale], 1e-2))
    assert scale.item() == 1
    assert scale.grad is None


class Breaks(nn.Module):
    """Raises in one of its forward passes."""

    def __init__(self, at):
        super().__init__()
        self.net = nn.Linear(20, 5)
        self.left = [at]

    def forward(self, x):
        self.left[0] -= 1
        if self.left[0] == 0:
            raise RuntimeError("broken")
        return self.net(x)


def test_everything_is_put_back_where_the_code_raises():
    for at in (2, 4, 9):
        torch.manual_seed(0)
        model, batch = Breaks(at), programs.noise()
        before = fingerprint(model, batch)
        with pytest.raises(InitcheckError, match="broken"):
            learns(model, batch)
        assert changed(before, fingerprint(model, batch)) == []


def test_a_thorough_diagnosis_measures_what_a_plain_one_does():
    model, batch = everything()
    before = fingerprint(model, batch)
    plain = diagnose(model, batch)
    thorough = diagnose(model, batch, thorough=True)
    assert changed(before, fingerprint(model, batch)) == []
    assert thorough.losses == plain.losses
    assert thorough.record == plain.record


def test_trials_start_from_the_same_place_with_the_same_numbers():
    torch.manual_seed(0)
    model, batch, _ = programs.dropout_kept()
    options = {"optimizer": programs.sgd(1e-4)}
    one, other = (learns(model, batch, **options) for _ in range(2))
    assert one == other
    assert len({trial.losses[0] for trial in one.trials}) == 1
