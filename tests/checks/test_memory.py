"""Parameters that hold what memory held, and starts that only look like it."""

from __future__ import annotations

import pytest
import torch
from support.starts import ids, labelled, mlp, named, told
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture.magnitude_spread import magnitudes


def poked(change, name="2.weight", act=nn.ReLU, dtype=None):
    model = mlp(act, 20, 32, 32, 3)
    with torch.no_grad():
        change(model.get_parameter(name))
    x, y = labelled()
    return diagnose(model.to(dtype), (x.to(dtype), y)) if dtype else diagnose(model, (x, y))


def random_bits(weight):
    bits = torch.randint(-(2**31), 2**31 - 1, weight.shape).to(torch.int32).view(torch.float32)
    weight.copy_(bits.nan_to_num(1e-30, 1e-30, 1e-30))


def first(value, count=1):
    return lambda weight: weight.view(-1)[:count].fill_(value)


FOUND = {
    "random bits": random_bits,
    "denormals everywhere": lambda weight: weight.uniform_(0, 1e-40),
    "one denormal": first(1e-40),
    "a pointer": first(1.7e37, 2),
    "mostly zero": lambda weight: weight.zero_().view(-1)[::50].fill_(3e-41),
}


@pytest.mark.parametrize("name", FOUND)
@pytest.mark.parametrize("where", ["2.weight", "0.weight"])
def test_bytes_that_nobody_wrote_are_the_first_finding(name, where):
    torch.manual_seed(3)
    found = poked(FOUND[name], where)
    assert ids(found) == ["IC104"], str(found)
    finding = named(found, "IC104")
    assert (finding.severity, finding.layer) == ("error", where.partition(".")[0])
    assert found.try_remedy().verdict == "pass"


def test_a_bias_that_nobody_wrote_is_found_too():
    assert ids(poked(first(1.7e37), "2.bias"))[0] == "IC104"
    assert ids(poked(first(1e-42, 5), "2.bias"))[0] == "IC104"


def test_memory_that_is_not_finite_is_told_as_such():
    found = poked(first(float("nan"), 3))
    assert ids(found)[0] == "IC501"
    assert named(found, "IC501").measured == 3


SOUND = {
    "heavy tails": lambda weight: weight.copy_(
        torch.distributions.StudentT(3.0).sample(weight.shape) / 10),
    "sparse": lambda weight: weight.mul_(torch.rand_like(weight) < 0.3),
    "small but for one row": lambda weight: weight[1:].mul_(1e-3),
    "all of 1e-30": lambda weight: weight.mul_(1e-30),
    "identity": nn.init.eye_,
    "one value that is zero": first(0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", SOUND)
def test_what_was_drawn_is_not_taken_for_memory(name):
    torch.manual_seed(3)
    assert "IC104" not in told(poked(SOUND[name])), name


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_precision_has_its_own_smallest_number(dtype):
    assert "IC104" not in told(poked(lambda weight: None, dtype=dtype))
    if dtype != torch.float16:
        tiny = torch.finfo(dtype).tiny / 4
        model = mlp(nn.ReLU, 20, 32, 32, 3).to(dtype)
        with torch.no_grad():
            model[2].weight[0, 0] = tiny
        x, y = labelled()
        assert ids(diagnose(model, (x.to(dtype), y)))[0] == "IC104"


def test_frozen_memory_is_nobody_s_to_train():
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    with torch.no_grad():
        model[2].weight[0, 0] = 1e-40
    model[2].requires_grad_(False)
    assert "IC104" not in told(diagnose(model, labelled()))


def test_to_empty_and_then_reset_is_a_sound_start():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 3))
    model.to_empty(device="cpu")
    torch.manual_seed(0)
    with torch.no_grad():
        model[2].weight.fill_(1e-39)
    assert ids(diagnose(model, labelled()))[0] in ("IC104", "IC501")
    for layer in (model[0], model[2]):
        layer.reset_parameters()
    assert diagnose(model, labelled()).verdict == "pass"


def test_magnitudes_are_of_what_is_not_zero():
    least, median = magnitudes(torch.tensor([0.0, -4.0, 1e-3, 0.0, 2.0])).tolist()
    assert (least, median) == (pytest.approx(1e-3), 2.0)
    assert magnitudes(torch.zeros(3)).isnan()[1]
    assert magnitudes(torch.zeros(0)).isnan().all()
    assert magnitudes(torch.tensor([3 + 4j])).tolist() == [5.0, 5.0]
