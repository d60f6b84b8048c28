"""An optimiser in each form that training code has it in; the one passed is not touched."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch.optim import SGD, Adam, AdamW
from torch.optim.lr_scheduler import StepLR

from pytest_initcheck import InitcheckError, check_step, diagnose, learns
from pytest_initcheck.inputs.optimizers import rebuilt


def configured(net, form):
    adam = Adam(net.parameters(), lr=1e-2)
    return form(adam, StepLR(adam, 1))


FORMS = {
    "itself": lambda adam, schedule: adam,
    "list": lambda adam, schedule: [adam],
    "two lists": lambda adam, schedule: ([adam], [schedule]),
    "pair": lambda adam, schedule: (adam, schedule),
    "mapping": lambda adam, schedule: {"optimizer": adam, "lr_scheduler": schedule},
    "nested": lambda adam, schedule: {
        "optimizer": adam,
        "lr_scheduler": {"scheduler": schedule, "interval": "step"},
    },
    "mappings": lambda adam, schedule: ({"optimizer": adam, "frequency": 1},),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("is_function", [False, True], ids=["value", "function"])
def test_what_configure_optimizers_returns(net, data, form, is_function):
    expected = diagnose(net, data, optimizer=lambda p: Adam(p, lr=1e-2))
    given = configured(net, form)
    found = diagnose(net, data, optimizer=(lambda: given) if is_function else given)
    assert found.losses == expected.losses
    assert found.record.meta["optimizer"] == "Adam"


@pytest.mark.parametrize("given", [Adam, functools.partial(Adam, lr=1e-3), lambda p: Adam(p)])
def test_classes_and_functions(net, data, given):
    assert diagnose(net, data, optimizer=given).record.meta["lr"] == "0.001"


def test_an_instance_keeps_its_groups_and_is_not_touched(net, data):
    groups = [{"params": net[0].parameters(), "lr": 1e-3}, {"params": net[2].parameters()}]
    given = AdamW(groups, lr=3e-3, weight_decay=0.1)
    net(data[0]).sum().backward()
    given.step()
    before, known = copy.deepcopy(given.state_dict()), dict(vars(given))
    found = diagnose(net, data, optimizer=given)
    assert found.record.meta["lr"] == "0.001, 0.003"
    assert found.record.meta["optimizer"] == "AdamW(weight_decay=0.1)"
    assert "rebuilt" in found.record.meta["taken"]
    assert vars(given) == known
    after = given.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for key, state in before["state"].items():
        assert all(torch.equal(state[name], after["state"][key][name]) for name in state)


def test_a_rebuilt_one_steps_as_a_new_one(net):
    given = SGD(net.parameters(), lr=0.1, momentum=0.9)
    StepLR(given, 1)
    made = rebuilt(given)
    net[2].bias.grad = torch.ones(10)
    start = net[2].bias.detach().clone()
    made.step()
    assert torch.allclose(net[2].bias, start - 0.1)
    assert not given.state
    assert made.state


def test_several_step_one_after_the_other(net, data):
    pair = [SGD(net[0].parameters(), lr=1e-2), SGD(net[2].parameters(), lr=1e-2)]
    found = diagnose(net, data, optimizer=pair)
    assert found.losses == pytest.approx(diagnose(net, data).losses)
    assert found.record.meta["optimizer"] == "SGD + SGD"
    assert "2 that step one after the other" in found.record.meta["taken"]


def test_classes_and_functions_may_be_several(net, data):
    found = diagnose(net, data, optimizer=[Adam, lambda p: SGD(p, lr=0.1)])
    assert found.record.meta["optimizer"] == "Adam + SGD"


def test_schedules_are_said_not_to_step(net, data):
    found = diagnose(net, data, optimizer=configured(net, FORMS["nested"]))
    assert found.record.meta["taken"].endswith("StepLR not stepped")


class Rateless(torch.optim.Optimizer):
    """Has no learning rate, or one that it says is None, as Adafactor does."""

    def __init__(self, parameters, **settings):
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.sub_(parameter.grad, alpha=0.01)


@pytest.mark.parametrize("settings", [{}, {"lr": None}], ids=["no rate", "None"])
def test_an_optimiser_without_a_rate_is_judged_by_what_it_moves(net, data, settings):
    found = diagnose(net, data, optimizer=lambda p: Rateless(p, **settings), thorough=True)
    assert found.record.meta["lr"] == "its own"
    assert found.losses == pytest.approx(diagnose(net, data).losses)
    assert not found.findings


def test_it_is_still_found_where_it_moves_nothing(net, data):
    class Still(Rateless):
        def step(self, closure=None):
            return None

    assert "IC601" in [f.id for f in diagnose(net, data, optimizer=Still).findings]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("adamw", "the text 'adamw'; pass optimizer=torch.optim.AdamW"),
        ([], "an empty list; pass a class"),
        (0.1, "a float; pass a class"),
    ],
)
def test_what_is_none_is_refused(net, data, given, said):
    with pytest.raises(InitcheckError, match=said):
        diagnose(net, data, optimizer=given)


def test_a_schedule_is_refused_with_what_to_pass(net, data):
    schedule = StepLR(Adam(net.parameters()), 1)
    with pytest.raises(InitcheckError, match=r"a StepLR, a schedule.*optimizer=schedule.optimizer"):
        diagnose(net, data, optimizer=schedule)


def test_a_function_of_the_model_is_told_that_it_gets_parameters(net, data):
    with pytest.raises(InitcheckError, match="a function of the parameters, not of the model"):
        diagnose(net, data, optimizer=lambda model: Adam(model.parameters()))


def test_other_questions_take_them_too(net, data):
    found = learns(net, data, optimizer=Adam(net.parameters(), lr=1e-2))
    assert found.trials[0].is_own
    assert found.trials[0].optimizer == "Adam, lr 0.01"

    def step(model, optimizer, batch):
        adam = optimizer["optimizer"]
        adam.zero_grad()
        torch.nn.functional.cross_entropy(model(batch[0]), batch[1]).backward()
        adam.step()

    stepped = check_step(step, net, configured(net, FORMS["nested"]), data)
    assert not stepped.findings
