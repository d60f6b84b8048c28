"""Zeros that cut a path, gains that do, and weights too small by the number of groups."""

from __future__ import annotations

import pytest
import torch

from support.starts import (  # isort: skip
    Model, constant, ids, labelled, lines, mlp, named, told, two, weighted,
)  # fmt: skip
from torch import nn

from pytest_initcheck import diagnose


class Rms(nn.Module):
    """A root-mean-square norm by hand; ``offset`` is added to the stored gain."""

    def __init__(self, value, offset=0.0, power=False):
        super().__init__()
        self.weight, self.offset = nn.Parameter(torch.full((32,), value)), offset
        self.power = power

    def forward(self, x):
        square = x.square().mean(-1, keepdim=True) + 1e-6
        root = square.pow(-0.5) if self.power else torch.rsqrt(square)
        return x * root * (self.offset + self.weight)


def filled(norm, gain, bias=None):
    nn.init.constant_(norm.weight, gain)
    if bias is not None:
        nn.init.constant_(norm.bias, bias)
    return norm


NORMS = {
    "layer norm": lambda gain: filled(nn.LayerNorm(32), gain, 1.0),
    "batch norm": lambda gain: filled(nn.BatchNorm1d(32), gain, 0.5),
    "group norm": lambda gain: filled(nn.GroupNorm(4, 32), gain, 0.5),
    "RMS norm": lambda gain: filled(nn.RMSNorm(32), gain),
    "by hand": Rms,
    "by hand, with a power": lambda gain: Rms(gain, power=True),
}


def normalised(norm, *, beside=False):
    torch.manual_seed(0)
    return Model(
        lambda m, x: m.head(torch.relu(m.norm(h := m.body(x)) + (h if beside else 0))),
        body=nn.Linear(20, 32), norm=norm, head=nn.Linear(32, 3),
    )  # fmt: skip


@pytest.mark.parametrize("name", NORMS)
def test_a_zero_gain_that_cuts_the_only_path_is_found(name):
    found = diagnose(normalised(NORMS[name](0.0)), labelled())
    assert ids(found)[0] == "IC102", str(found)
    assert named(found, "IC102").layer == "norm"
    assert found.try_remedy().verdict == "pass"
    assert diagnose(normalised(NORMS[name](1.0)), labelled()).verdict == "pass"


@pytest.mark.parametrize("name", NORMS)
def test_a_zero_gain_with_something_beside_it_is_no_fault(name):
    assert diagnose(normalised(NORMS[name](0.0), beside=True), labelled()).verdict == "pass"


def test_a_gain_stored_as_its_distance_from_one_is_no_zero_gain():
    assert diagnose(normalised(Rms(0.0, offset=1.0)), labelled()).verdict == "pass"


def test_a_zero_gain_outside_of_a_normalisation_opens_by_itself():
    model = two(lambda m, h: torch.relu(h) * m.gain)
    model.gain = nn.Parameter(torch.zeros(32))
    assert "IC102" not in told(diagnose(model, labelled()))


@pytest.mark.parametrize("parts", [
    [nn.Linear(20, 1), nn.LayerNorm(1), nn.Linear(1, 16)],
    [nn.Linear(20, 16), nn.Unflatten(1, (16, 1)), nn.GroupNorm(16, 16), nn.Flatten()],
], ids=["layer norm", "group norm"])  # fmt: skip
def test_a_normalisation_over_one_value_is_found(parts):
    model = nn.Sequential(*parts, nn.Tanh(), nn.Linear(16, 3))
    found = diagnose(model, labelled())
    assert ids(found)[0] == "IC107", str(found)
    assert (named(found, "IC107").measured, named(found, "IC107").limit) == (1, 2)


def test_a_normalisation_over_one_value_beside_the_path_is_no_fault():
    model = two(lambda m, h: torch.relu(h) + m.norm(h[:, :1]))
    model.norm = nn.LayerNorm(1)
    assert diagnose(model, labelled()).verdict == "pass"


ZERO = {
    "head": (("4",), False), "first": (("0",), True), "first and head": (("0", "4"), True),
    "hidden pair": (("0", "2"), True),
}  # fmt: skip


@pytest.mark.parametrize("name", ZERO)
def test_zero_weights_are_a_fault_where_no_gradient_comes(name):
    layers, is_fault = ZERO[name]
    found = diagnose(weighted(mlp(nn.ReLU, 20, 32, 32, 3), constant(0.0), *layers), labelled())
    assert ("IC101" in ids(found)) == is_fault, str(found)
    assert (found.verdict == "fail") == is_fault


def test_one_zero_layer_behind_tanh_gets_a_gradient():
    model = weighted(mlp(nn.Tanh, 20, 32, 32, 3), constant(0.0), "2")
    assert "IC101" not in told(diagnose(model, labelled()))


@pytest.mark.parametrize(("zeros", "is_fault"), [("up", False), ("down", False), ("updown", True)])
def test_one_of_two_factors_may_be_zero(zeros, is_fault):
    torch.manual_seed(0)
    model = two(lambda m, h: torch.tanh(h) + m.up(m.down(torch.tanh(h))))
    model.down, model.up = nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False)
    for name in ("up", "down"):
        if name in zeros:
            nn.init.zeros_(getattr(model, name).weight)
    assert ("IC101" in told(diagnose(model, lines(), lambda out, y: out.square().mean()))) == (
        is_fault
    )


def depthwise(mode, groups=64, *, norm=False, nonlinearity="relu"):
    """A grouped convolution by fan-in or fan-out, or as torch draws it."""
    torch.manual_seed(0)
    grouped = nn.Conv2d(64, 64, 3, groups=groups)
    if mode:
        nn.init.kaiming_normal_(grouped.weight, mode=mode, nonlinearity=nonlinearity)
    return nn.Sequential(nn.Conv2d(1, 64, 3), nn.ReLU(), grouped,
                         *([nn.BatchNorm2d(64)] if norm else []), nn.ReLU(), nn.Flatten(),
                         nn.Linear(1024, 3))  # fmt: skip


def pictures():
    torch.manual_seed(1)
    return torch.randn(16, 1, 8, 8), torch.randint(0, 3, (16,))


@pytest.mark.parametrize("kind", ["relu", "tanh", "linear"])
def test_fan_out_over_all_groups_is_found_and_mended(kind):
    model = depthwise("fan_out", nonlinearity=kind)
    found = diagnose(model, pictures())
    finding = named(found, "IC106")
    assert (finding.layer, finding.severity) == ("2", "warning")
    assert finding.measured == pytest.approx(float(model[2].weight.detach().std()), rel=0.01)
    assert finding.limit == pytest.approx(finding.measured * 8)
    after = found.try_remedy()
    assert after.verdict == "pass", str(after)
    assert after.record.layer("2").weights["weight"].std == pytest.approx(finding.limit, rel=0.2)


@pytest.mark.parametrize("groups", [2, 4, 8, 16, 64])
@pytest.mark.parametrize("mode", [None, "fan_in"])
def test_groups_that_are_drawn_by_their_own_fan_in_are_sound(groups, mode):
    assert "IC106" not in told(diagnose(depthwise(mode, groups), pictures()))


@pytest.mark.parametrize(("channels", "groups"), [(4, 4), (8, 8), (12, 6), (48, 6), (64, 8)])
def test_what_torch_draws_unasked_is_sound_for_any_number_of_groups(channels, groups):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, channels, 3), nn.ReLU(),
                          nn.Conv2d(channels, channels, 3, groups=groups), nn.ReLU(), nn.Flatten(),
                          nn.Linear(16 * channels, 3))  # fmt: skip
    assert diagnose(model, pictures()).verdict == "pass"


def test_a_normalisation_behind_takes_the_factor_back():
    assert "IC106" not in told(diagnose(depthwise("fan_out", norm=True), pictures()))


def test_one_sigma_for_all_asked_for_no_fan():
    model = depthwise(None)
    sigma = 2**0.5 / (64 * 9) ** 0.5
    for layer in (model[0], model[2], model[5]):
        nn.init.normal_(layer.weight, 0, sigma)
    assert "IC106" not in told(diagnose(model, pictures()))


def test_a_blur_was_not_drawn():
    model = depthwise(None)
    kernel = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16
    sigma = 2**0.5 / (64 * 9) ** 0.5
    with torch.no_grad():
        model[2].weight.copy_((kernel * sigma / kernel.std()).expand(64, 1, 3, 3))
    assert "IC106" not in told(diagnose(model, pictures()))


@pytest.mark.parametrize("names", [("gamma", "beta"), ("weight", "bias"), ("scale", "shift")])
def test_the_shift_of_a_norm_is_no_gain_whatever_its_name(names):
    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            for name, value in zip(names, (torch.ones(16), torch.zeros(16)), strict=True):
                setattr(self, name, nn.Parameter(value))

        def forward(self, x):
            return nn.functional.layer_norm(x, (16,), *(getattr(self, name) for name in names))

    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), Norm(), nn.ReLU(), nn.Linear(16, 3))
    found = diagnose(model, (torch.randn(24, 6), torch.arange(24) % 3))
    assert "IC102" not in {finding.id for finding in found.findings}, str(found)
