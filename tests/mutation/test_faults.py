"""The faults that are planted: each is one, each is noticed by a diagnosis, and none twice."""

from __future__ import annotations

import pytest
import torch
from support.starts import labelled, mlp
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.mutation import FAULTS, planted

BY_NAME = {fault.name: fault for fault in FAULTS}


def wide():
    return mlp(nn.ReLU, 20, 32, 32, 32, 3)


@pytest.mark.parametrize("name", [*BY_NAME])
def test_a_diagnosis_sees_the_fault(name):
    torch.manual_seed(0)
    model, batch = wide(), labelled()
    sound = diagnose(model, batch)
    torch.manual_seed(0)
    other = wide()
    with planted(BY_NAME[name]) as count:
        found = diagnose(other, batch)

    assert count.models == count.planted == 1
    assert sound.verdict == "pass"
    if name in ("unscaled-residual", "wrong-fan", "x10", "frozen"):
        # They change what is recorded, and so what a baseline compares; such a start can learn.
        assert found.record != sound.record
    else:
        assert found.verdict != "pass"


@pytest.mark.parametrize("name", [*BY_NAME])
def test_the_fault_is_planted_before_the_first_pass_and_once(name):
    model = wide()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with planted(BY_NAME[name]) as count:
        model(torch.randn(4, 20))
        after = {key: value.clone() for key, value in model.state_dict().items()}
        model(torch.randn(4, 20))
        model[0](torch.randn(4, 20))

    assert count.planted == 1
    changed = any(not torch.equal(before[key], after[key]) for key in before)
    assert changed == (name not in ("detached", "frozen"))
    assert all(
        torch.equal(after[key], value) or value.isnan().any()
        for key, value in model.state_dict().items()
    )


@pytest.mark.parametrize("name", ["zero", "dead-bias", "frozen", "copied", "constant"])
def test_a_model_of_one_layer_has_no_place_for_faults_of_hidden_layers(name):
    with planted(BY_NAME[name]) as count:
        nn.Linear(4, 2)(torch.randn(3, 4))

    assert (count.models, count.planted) == (1, 0)


def test_models_without_parameters_do_not_count():
    with planted(BY_NAME["nan"]) as count:
        nn.ReLU()(torch.randn(3))

    assert count.models == 0


def test_parts_are_no_models_of_their_own():
    model = nn.Sequential(wide(), nn.Linear(3, 3))
    with planted(BY_NAME["x10"]) as count:
        model(torch.randn(4, 20))

    assert count.planted == 1


def test_a_pass_that_raises_leaves_the_count_of_depth_right():
    with planted(BY_NAME["nan"]) as count:
        with pytest.raises(RuntimeError):
            wide()(torch.randn(4, 7))
        wide()(torch.randn(4, 20))

    assert count.planted == 2


def test_outside_nothing_is_planted():
    with planted(BY_NAME["nan"]):
        pass
    model = wide()
    model(torch.randn(4, 20))
    diagnose(model, labelled())

    assert not any(parameter.isnan().any() for parameter in model.parameters())
