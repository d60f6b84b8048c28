"""A LightningModule as it is, told by what it can do; test_libraries.py has the real ones."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import StepLR

from pytest_initcheck import InitcheckError, diagnose


class Module(nn.Module):
    """A module with a training step, as Lightning wants it."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 10))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = functional.cross_entropy(self(x), y)
        self.log("loss", loss, prog_bar=True)
        self.log_dict({"index": batch_idx})
        return loss

    def configure_optimizers(self):
        return Adam(self.parameters(), lr=2e-3)


def made(**members):
    return type("Made", (Module,), members)()


def test_its_step_and_its_optimiser_are_used(data):
    model = Module()
    known = dict(vars(model))
    found = diagnose(model, data)
    alone = diagnose(model, data, functional.cross_entropy, lambda p: Adam(p, lr=2e-3))
    assert found.losses == alone.losses
    assert found.record.meta["optimizer"] == "Adam"
    assert found.record.meta["taken"] == (
        "loss: of the module's training_step; optimizer: configure_optimizers"
    )
    assert vars(model) == known


def test_a_loss_that_is_passed_goes_before_its_step(data):
    found = diagnose(Module(), data, functional.cross_entropy)
    assert found.record.meta["optimizer"] == "SGD"
    assert "its training_step is not used" in found.record.meta["taken"]


def test_an_optimiser_that_is_passed_goes_before_its_own(data):
    assert diagnose(Module(), data, optimizer=SGD).record.meta["optimizer"] == "SGD"


def test_schedules_and_several_optimisers_are_said(data):
    def configure(self):
        adam = Adam(self.net[0].parameters())
        other = SGD(self.net[2].parameters(), lr=1e-2)
        return [adam, other], [StepLR(adam, 1)]

    found = diagnose(made(configure_optimizers=configure), data)
    assert found.record.meta["optimizer"] == "Adam + SGD"
    assert (
        "2, one after the other on the one loss); StepLR not stepped"
        in (found.record.meta["taken"])
    )


def test_none_is_the_default_and_said(data):
    found = diagnose(made(configure_optimizers=lambda self: None), data)
    assert found.record.meta["optimizer"] == "SGD"
    assert "configure_optimizers returns None" in found.record.meta["taken"]


def test_a_mapping_with_the_loss(data):
    def step(self, batch):
        return {"loss": functional.cross_entropy(self(batch[0]), batch[1]), "seen": 3}

    found = diagnose(made(training_step=step), data)
    assert "'loss' of what was returned (loss, seen)" in found.record.meta["taken"]


def test_what_a_trainer_knows_at_the_start_is_known(data):
    def step(self, batch, batch_idx, optimizer_idx):
        assert self.trainer.global_step == self.trainer.current_epoch == optimizer_idx == 0
        assert not hasattr(self.trainer, "datamodule")
        return functional.cross_entropy(self(batch[0]), batch[1]) * self.trainer.world_size

    model = made(training_step=step)
    assert diagnose(model, data).verdict == "pass"
    assert not hasattr(model, "trainer")


def test_what_only_a_trainer_has_is_said(data):
    def step(self, batch):
        return functional.cross_entropy(self(batch[0]), batch[1], self.trainer.datamodule.weights)

    with pytest.raises(InitcheckError, match=r"asks its trainer for 'datamodule'.*pass forward="):
        diagnose(made(training_step=step), data)


def test_a_trainer_of_its_own_is_left_to_it(data):
    model = Module()
    model.trainer = own = type("Own", (), {"scale": 2.0})()
    model.training_step = lambda batch, index: (
        functional.cross_entropy(model(batch[0]), batch[1]) * model.trainer.scale
    )
    assert diagnose(model, data).losses[0] == pytest.approx(
        2 * diagnose(Module.__call__ and model.net, data).losses[0]
    )
    assert model.trainer is own


def test_optimising_by_hand_is_explained(data):
    model = made(automatic_optimization=False)
    with pytest.raises(InitcheckError, match=r"optimises by hand.*check_step\(") as found:
        diagnose(model, data)
    assert "forward=lambda model, batch" in str(found.value)


def test_a_backward_by_hand_is_explained(data):
    def step(self, batch):
        self.manual_backward(functional.cross_entropy(self(batch[0]), batch[1]))

    with pytest.raises(InitcheckError, match="optimises by hand"):
        diagnose(made(training_step=step), data)


def test_a_step_that_is_skipped_is_explained(data):
    with pytest.raises(InitcheckError, match="training_step returned None"):
        diagnose(made(training_step=lambda self, batch: None), data)


def test_what_configure_optimizers_raises_is_told_as_its_own(data):
    def configure(self):
        raise KeyError("rate")

    with pytest.raises(InitcheckError, match="configure_optimizers raised KeyError: 'rate'"):
        diagnose(made(configure_optimizers=configure), data)


def test_its_rate_may_be_logged(data):
    def step(self, batch):
        self.log("rate", self.optimizers().param_groups[0]["lr"])
        return functional.cross_entropy(self(batch[0]), batch[1])

    assert diagnose(made(training_step=step), data).verdict == "pass"


def test_under_forward_nothing_of_it_is_used(data):
    def forward(model, batch):
        return functional.cross_entropy(model(batch[0]), batch[1])

    found = diagnose(Module(), data, forward=forward)
    assert found.record.meta["optimizer"] == "SGD"
    assert "taken" not in found.record.meta


def test_the_remedies_of_a_module_run(data):
    model = Module()
    for parameter in model.net.parameters():
        torch.nn.init.constant_(parameter, 0.1)
    found = diagnose(model, data)
    assert found.verdict == "fail"
    assert found.try_remedy().verdict != "fail"
