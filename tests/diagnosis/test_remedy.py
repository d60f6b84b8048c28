"""The code of a remedy is what is run, is verified, and leaves the model alone."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import pytest
import torch
from support.starts import bits, constant, ids, labelled, lines, mlp, named, normal, weighted
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.diagnosis import Diagnosis
from pytest_initcheck.errors import InitcheckError
from pytest_initcheck.records import Finding, RunRecord
from pytest_initcheck.serialization import decode, encode

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")


def changed(model, change):
    with torch.no_grad():
        change(model)
    return model


def normalised():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 3))


def swapped(model):
    model[1].weight.zero_()
    model[1].bias.fill_(1)


def copied():
    model = mlp(nn.Tanh, 20, 32, 32, 32, 3)
    model[4].load_state_dict(model[2].state_dict())
    return model


def overwritten():
    model = mlp(nn.ReLU, 20, 32, 3)
    nn.utils.weight_norm(model[0])
    return changed(model, lambda m: m[0].weight.mul_(2))


def garbage(model):
    bits = torch.randint(-(2**31), 2**31 - 1, model[2].weight.shape).to(torch.int32)
    model[2].weight.copy_(bits.view(torch.float32).nan_to_num(1e30, 1e30, 1e30))


def grouped():
    """A depthwise convolution whose fan-out counts all groups."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Unflatten(1, (1, 20)), nn.Conv1d(1, 64, 3), nn.ReLU(),
                          nn.Conv1d(64, 64, 3, groups=64), nn.ReLU(), nn.Flatten(),
                          nn.Linear(1024, 3))  # fmt: skip
    nn.init.kaiming_normal_(model[3].weight, mode="fan_out")
    return model


STARTS = {
    "IC201": lambda: weighted(mlp(nn.Tanh, 20, 24, 24, 3), constant(0.1)),
    "IC101": lambda: weighted(mlp(nn.ReLU, 20, 24, 24, 24, 3), constant(0.0), "2", "4"),
    "IC303": lambda: weighted(mlp(nn.Tanh, 20, 32, 32, 3), normal(3.0), "0", "2"),
    "IC301": lambda: weighted(mlp(nn.ReLU, 20, 32, 32, 3), normal(0.2), "2", bias=-30.0),
    "IC104": lambda: changed(mlp(nn.ReLU, 20, 32, 32, 3), garbage),
    "IC501": lambda: weighted(mlp(nn.ReLU, 20, 32, 3), constant(float("nan")), "2"),
    "IC102": lambda: changed(normalised(), swapped),
    "IC703": lambda: weighted(mlp(nn.ReLU, 20, 256, 256, 3), normal(1.0)),
    "IC402": lambda: mlp(nn.Sigmoid, 20, *[32] * 10, 3),
    "IC204": copied,
    "IC103": overwritten,
    "IC106": grouped,
}  # fmt: skip


class Mended(NamedTuple):
    """The id of a finding, a model that has it, a batch, and what came of the remedy."""

    id: str
    model: nn.Module
    batch: tuple[torch.Tensor, torch.Tensor]
    before: object
    found: Diagnosis
    after: Diagnosis


@pytest.fixture(scope="module", params=STARTS)
def start(request):
    """A start and its remedy, made once for all tests that look at it and change nothing."""
    model, batch = STARTS[request.param](), labelled()
    before = bits(model, *batch)
    found = diagnose(model, batch)
    return Mended(request.param, model, batch, before, found, found.try_remedy())


def test_the_code_repairs_the_start_and_changes_nothing(start):
    found, after = start.found, start.after
    assert ids(found)[0] == start.id
    assert found.verdict in ("warn", "fail")
    assert after.verdict == "pass", str(after)
    assert after.applied[0] == found.findings[0].remedy_code != ""
    assert bits(start.model, *start.batch) == start.before
    assert found.applied == ()
    assert after.subject is found.subject


def test_the_same_remedy_gives_the_same_diagnosis(start):
    first = start.after
    torch.rand(7)
    second = start.found.try_remedy()
    assert encode(first.run_record()) == encode(second.run_record())
    assert (first.findings, first.losses, first.applied) == (
        second.findings, second.losses, second.applied,
    )  # fmt: skip


def test_the_code_that_is_shown_is_the_code_that_ran(start):
    after = start.after
    pasted, (inputs, targets) = STARTS[start.id](), labelled()
    torch.manual_seed(0)
    for code in after.applied:
        exec(code, {"model": pasted, "inputs": inputs, "targets": targets, "torch": torch})
    again = diagnose(pasted, (inputs, targets))
    assert again.verdict == after.verdict
    assert again.losses == after.losses
    assert again.findings == after.findings


def test_a_healthy_model_has_no_code_and_an_equal_diagnosis():
    found = diagnose(mlp(nn.ReLU, 20, 32, 3), labelled())
    after = found.try_remedy()
    assert after == found
    assert after.applied == ()


def test_a_finding_that_only_an_author_can_mend_has_no_code():
    found = diagnose(mlp(nn.ReLU, 20, 32, 1, last=[nn.Softmax(-1)]), lines())
    assert named(found, "IC306").remedy_code == ""
    assert found.try_remedy() == found
    assert found.verdict == "fail"


def test_what_the_first_code_uncovers_is_mended_in_the_next_round():
    torch.manual_seed(0)
    model = weighted(mlp(nn.Sigmoid, 20, *[32] * 8, 3), constant(0.1))
    found = diagnose(model, labelled())
    assert "IC201" in ids(found)
    once, often = found.try_remedy(rounds=1), found.try_remedy()
    assert "IC402" in ids(once)
    assert len(once.applied) < len(often.applied)
    assert often.applied[: len(once.applied)] == once.applied
    assert often.verdict == "pass"
    again = once.try_remedy()
    assert (again.applied, again.losses) == (often.applied, often.losses)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_surrounding_mode_without_gradients_is_no_hindrance(mode):
    model, (x, y) = weighted(mlp(nn.Tanh, 20, 24, 24, 3), constant(0.1)), labelled()
    found = diagnose(model, (1000 * x, y))
    expected = found.try_remedy()
    assert len(expected.applied) > 1
    with mode():
        assert found.try_remedy().losses == expected.losses


def test_a_lazy_model_is_mended_and_stays_lazy():
    model = nn.Sequential(nn.LazyLinear(24), nn.Tanh(), nn.LazyLinear(3))
    x, y = labelled()
    after = diagnose(model, (1000 * x, y)).try_remedy()
    assert after.verdict == "pass", str(after)
    assert isinstance(model[0], nn.LazyLinear)


def test_no_rounds_change_nothing():
    found = diagnose(weighted(mlp(nn.Tanh, 20, 24, 24, 3), constant(0.1)), labelled())
    assert found.try_remedy(rounds=0) == found


def test_frozen_layers_are_not_drawn_anew():
    model = weighted(mlp(nn.Tanh, 20, 24, 24, 24, 3), constant(0.1))
    model[2].requires_grad_(False)
    found = diagnose(model, labelled())
    assert "IC201" in ids(found)
    codes = "".join(finding.remedy_code for finding in found.findings)
    assert "'0.weight'" in codes
    assert "'2.weight'" not in codes


def test_a_diagnosis_that_does_not_hold_its_model_says_so():
    found = dataclasses.replace(diagnose(mlp(nn.ReLU, 20, 32, 3), labelled()), subject=None)
    for ask in (found.try_remedy, lambda: found.sigma_range("0")):
        with pytest.raises(InitcheckError, match="anew"):
            ask()


def test_code_that_does_not_fit_is_one_error_and_changes_nothing():
    model, batch = weighted(mlp(nn.Tanh, 20, 24, 24, 3), constant(0.1)), labelled()
    found = diagnose(model, batch)
    broken = dataclasses.replace(found.findings[0], remedy_code="model.get_parameter('none')")
    before = bits(model, *batch)
    with pytest.raises(InitcheckError, match="none") as caught:
        dataclasses.replace(found, findings=[broken]).try_remedy()
    assert "get_parameter" in str(caught.value)
    assert bits(model, *batch) == before


class Plain:
    """A team's check that gives code as a text, and does not say what it acts on."""

    name = "plain"
    rules = ()

    def __init__(self, code):
        self.code = code

    def run(self, evidence):
        if max(evidence.rates.values()) < 0.1 and evidence.before.layers[0].weights["weight"].rms:
            yield Finding(
                id="T1", check="plain", severity="error", layer="", quantity="rate", measured=0.0,
                limit=0.1, cause="", remedy="", remedy_code=self.code,
            )  # fmt: skip


TEXTS = {
    "optimizer": "for group in optimizer.param_groups:\n    group['lr'] = 0.5",
    "model": "torch.nn.init.zeros_(model[0].weight)",
}


@pytest.mark.parametrize("target", TEXTS)
def test_a_plain_text_runs_on_what_it_reads(target):
    model, batch = mlp(nn.ReLU, 20, 32, 3), labelled()
    after = diagnose(model, batch, checks=[Plain(TEXTS[target])]).try_remedy()
    assert (after.verdict, after.applied) == ("pass", (TEXTS[target],))
    assert (after.record.meta["lr"] == "0.5") == (target == "optimizer")


def test_code_that_says_it_acts_on_the_model_is_not_tried_on_the_optimizer():
    found = diagnose(mlp(nn.ReLU, 20, 32, 3), labelled(), checks=[Plain(TEXTS["optimizer"])])
    declared = dataclasses.replace(found.findings[0], remedy_target="model")
    with pytest.raises(InitcheckError, match="'optimizer' is not defined"):
        dataclasses.replace(found, findings=[declared]).try_remedy()


def test_code_and_profile_go_to_json_and_back():
    found = diagnose(STARTS["IC402"](), labelled())
    (finding,) = [f for f in found.findings if f.id == "IC402"]
    assert finding.remedy_code
    assert list(finding.profile) == [str(2 * i) for i in range(11)]
    assert finding.profile["0"] == 1.0
    assert finding.profile["20"] == finding.measured
    kind = type(finding)
    assert decode(kind, encode(finding)) == finding
    assert decode(RunRecord, encode(found.run_record())) == found.run_record()
