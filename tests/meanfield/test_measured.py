"""Networks of finite width against theory: within the error of the seeds where it is true."""

import math

import pytest
import torch
from support.engines import shuffled  # noqa: F401
from torch import nn

from pytest_initcheck import InitcheckError, MeanField, edge_of_chaos
from pytest_initcheck.meanfield.measure import _pair

FAMILIES = [
    ("tanh", 0.9, 0.1),
    ("tanh", 1.3, 0.1),
    ("tanh", 2.5, 0.1),
    ("erf", 0.8, 0.2),
    ("erf", 2.0, 0.1),
    ("relu", math.sqrt(2), 0.0),
    ("relu", 1.2, 0.3),
    ("relu", 1.6, 0.1),
]
SMALL = {"width": 96, "depth": 8}


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_measured_agrees_with_theory(family):
    found = edge_of_chaos(*family, **SMALL)
    assert found.agrees(confidence=0.999)
    # The first layer follows from the inputs alone.
    sigma_w, sigma_b = family[1:]
    first = torch.tensor([1, 1, 0.5]) * sigma_w**2 + sigma_b**2
    assert torch.allclose(found.kernels[:, 0].float(), first.expand(16, 3))


def test_agreement_is_as_rare_as_it_is_said_to_be():
    seeds = [range(8 * i, 8 * i + 8) for i in range(20)]
    agreeing = sum(edge_of_chaos("tanh", 1.5, 0.1, seeds=s, **SMALL).agrees() for s in seeds)
    assert agreeing >= 16


@pytest.mark.parametrize("wrong", [("tanh", 1.5, 0.1), ("tanh", 1.3, 0.4), ("erf", 1.3, 0.1)])
def test_another_family_contradicts(wrong):
    found = edge_of_chaos("tanh", 1.3, 0.1, **SMALL)
    theory = MeanField(*wrong)
    other = type(found)(
        theory=theory,
        seeds=found.seeds,
        kernels=found.kernels,
        expected=theory.kernel(found.kernels[:, :-1]),
        meta={},
    )
    assert not other.agrees(confidence=0.999)


def test_a_network_with_another_activation_contradicts():
    class Halved(nn.Module):
        """Between the layers stands what theory is not told."""

        def forward(self, x):
            return torch.tanh(x.relu())

    def network():
        return nn.Sequential(*(part for _ in range(3) for part in (nn.Linear(96, 96), Halved())))

    assert not edge_of_chaos("tanh", 1.3, 0.1, network=network).agrees()


def test_a_network_of_ones_own_is_drawn_and_measured():
    def network():
        parts = [nn.Linear(30, 200), nn.Tanh(), nn.Linear(200, 100), nn.Tanh(), nn.Linear(100, 5)]
        return nn.Sequential(*parts)

    found = edge_of_chaos("tanh", 1.5, 0.2, network=network)
    assert found.kernels.shape == (16, 3, 3)
    assert found.agrees(confidence=0.999)


@pytest.mark.parametrize("family", [("tanh", 2.5, 0.1), ("erf", 2.5, 0.2), ("relu", 1.2, 0.3)])
def test_the_depth_scale_is_that_of_theory_within_its_error(family):
    found = edge_of_chaos(*family, width=200, depth=12)
    low, high = found.depth_scale_interval
    assert low < found.depth_scale < high
    assert low <= found.predicted_depth_scale <= high
    assert found.depth_scale == pytest.approx(found.theory.depth_scale, rel=0.35)


def test_correlations_that_are_at_their_end_have_no_depth_scale():
    field = MeanField("tanh", 1.3, 0.1)
    found = edge_of_chaos("tanh", 1.3, 0.1, correlation=field.fixed_correlation, **SMALL)
    assert math.isnan(found.depth_scale)


def test_seeds_on_an_engine_are_those_of_this_process(shuffled):  # noqa: F811
    here, there = (edge_of_chaos("erf", 1.5, 0.1, backend=b, **SMALL) for b in (None, "ray"))
    assert torch.equal(here.kernels, there.kernels)
    assert shuffled.began


def test_the_frame_and_the_record_hold_a_value_for_each_layer():
    found = edge_of_chaos("relu", 1.2, 0.3, seeds=4, **SMALL)
    frame = found.to_frame()
    assert list(frame["layer"]) == list(range(1, 9))
    gap = (frame["correlation"] - frame["correlation in theory"]).abs()
    assert (gap < 0.1).all()
    record = found.run_record()
    assert record.seeds == (0, 1, 2, 3)
    assert len(record.curves["correlation"][0]) == 8
    assert str(found).startswith("ordered: chi 0.72, correlation to 1 over 3.04 layers")


def test_inputs_have_exactly_the_correlation_that_was_asked_for():
    first, second = _pair(50, -0.3)
    assert float((first * second).mean()) == pytest.approx(-0.3)
    assert float(second.square().mean()) == pytest.approx(1)


def test_the_callers_streams_stay_where_they_are():
    before = torch.get_rng_state()
    edge_of_chaos("tanh", 1.0, seeds=2, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    "options",
    [{"correlation": 1}, {"seeds": 1}, {"seeds": [1, 1]}, {"network": lambda: nn.Linear(3, 3)}],
)
def test_what_cannot_be_measured_is_told(options):
    with pytest.raises(InitcheckError, match="pass"):
        edge_of_chaos("tanh", 1.0, **options)
