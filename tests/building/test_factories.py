"""What builds a model, and what `construction` returned of it, where a model is taken."""

from __future__ import annotations

import pytest
import torch
from support.built import General, Net
from torch.nn import functional

from pytest_initcheck import (
    Experiment,
    InitcheckError,
    check_step,
    construction,
    diagnose,
    learns,
    run,
    sweep,
    watch,
)
from pytest_initcheck.curvature import critical_point, jacobian

DATA = torch.randn(32, 8, generator=torch.Generator().manual_seed(1)), torch.arange(32) % 4


def sgd(parameters):
    return torch.optim.SGD(parameters, 0.1)


def forgetful(model, optimizer, data):
    loss = functional.cross_entropy(model(data[0]), data[1])
    loss.backward()
    optimizer.step()
    return loss


@pytest.mark.parametrize("question", [diagnose, learns, critical_point])
def test_questions_of_a_start_take_what_builds_it(question):
    torch.manual_seed(0)
    of_model = question(Net(), DATA)
    torch.manual_seed(0)
    of_factory = question(Net, DATA)
    torch.manual_seed(0)
    of_built = question(construction(Net), DATA)

    first, *others = (str(found).splitlines()[0] for found in (of_model, of_factory, of_built))
    assert others == [first, first]
    assert of_factory.run_record().curves == of_model.run_record().curves


def test_the_jacobian_takes_what_builds_its_model():
    torch.manual_seed(0)
    expected = jacobian(Net(), DATA).largest.value
    torch.manual_seed(0)
    assert jacobian(Net, DATA).largest.value == expected


def test_a_step_of_a_recorded_model_tells_the_calls_that_wrote_its_layers():
    made = construction(General)
    found = check_step(forgetful, made, sgd(made.model.parameters()), DATA)
    plain = check_step(forgetful, made.model, sgd(made.model.parameters()), DATA)

    assert [finding.id for finding in found.findings] == [finding.id for finding in plain.findings]
    assert found.findings[0].written.startswith("weight: drawn by normal_(mean=0, std=0.02) at ")
    assert not any(finding.written for finding in plain.findings)


def test_a_training_of_a_recorded_model_is_watched_as_one_of_the_model():
    made = construction(Net)
    optimizer = sgd(made.model.parameters())
    with watch(made, optimizer, every=1) as watched:
        forgetful(made.model, optimizer, DATA)
    assert watched.looks == 1


def test_what_an_optimiser_holds_has_been_built_already():
    optimizer = sgd(Net().parameters())
    words = r"model is the class Net.* pass the model, or what construction\(factory\) returned"
    with pytest.raises(InitcheckError, match=words):
        check_step(forgetful, Net, optimizer, DATA)
    with pytest.raises(InitcheckError, match=words), watch(Net, optimizer):
        pass


def test_seeds_are_built_by_a_factory_and_not_from_what_was_built():
    experiment = Experiment(Net, data=DATA, epochs=1)
    assert len(run(experiment, seeds=1).curves["loss"]) == 1
    assert len(sweep(experiment, sigmas=[0.1], seeds=1)) == 1
    with pytest.raises(InitcheckError, match="pass a function that returns a new model, not Con"):
        Experiment(construction(Net), data=DATA)
    with pytest.raises(InitcheckError, match=r"lambda: Net\(\.\.\.\)\), not a model"):
        Experiment(Net(), data=DATA)
