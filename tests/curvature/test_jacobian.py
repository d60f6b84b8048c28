"""Singular values of input–output Jacobians against those of the matrix; dynamical isometry."""

import math

import pytest
import torch
from torch import nn

from pytest_initcheck import InitcheckError, MeanField, critical_sigma_w, diagnose, jacobian


def whole(model, inputs, sample):
    """All singular values, from the matrix itself, in double precision."""
    double = inputs[sample : sample + 1].double()
    found = torch.autograd.functional.jacobian(model.double(), double)
    model.float()
    return torch.linalg.svdvals(found[0, :, 0])


def layers(width, depth, activation=nn.Tanh, draw=None):
    torch.manual_seed(0)
    parts = [part for _ in range(depth) for part in (nn.Linear(width, width), activation())]
    model = nn.Sequential(*parts)
    for module in model:
        if draw and isinstance(module, nn.Linear):
            draw(module.weight)
            nn.init.zeros_(module.bias)
    return model


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 5), (5, 12), (8, 8)])
def test_small_ones_are_exact(inputs, outputs):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(inputs, 20), nn.Tanh(), nn.Linear(20, outputs))
    x = torch.randn(6, inputs)
    found = jacobian(model, x)
    assert len(found.samples) == 4
    for one in found.samples:
        expected = whole(model, x, one.sample)
        assert one.shape == (outputs, inputs)
        for end, value in ((one.largest, expected[0]), (one.smallest, expected[-1])):
            assert end.value == pytest.approx(float(value), abs=end.error + 1e-6)
            assert end.error < 0.01 * float(expected[0])
        assert one.mean_square == pytest.approx(float(expected.square().mean()), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_bounds_hold_where_few_steps_were_taken(seed):
    model = layers(60, 3)
    x = torch.randn(2, 60)
    for one in jacobian(model, x, steps=12, seed=seed).samples:
        expected = whole(model, x, one.sample)
        assert one.steps == 12 < one.rank
        assert not one.is_exact
        assert one.largest.value - one.largest.error <= expected[0] <= one.largest.bound * 1.0001
        assert one.smallest.bound * 0.9999 <= expected[-1]
        assert one.smallest.value + 1e-6 >= expected[-1]
        for end in (one.largest, one.smallest):
            assert (expected - end.value).abs().min() <= end.error


def test_convolutions_and_batches_whose_samples_meet():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(32, 3))
    x = torch.randn(5, 1, 6, 6)
    found = jacobian(model, (x, torch.tensor([0, 1, 2, 0, 1])), samples=2)

    def of_first(first):
        return model(torch.cat([first[None], x[1:]]))[0]

    matrix = torch.autograd.functional.jacobian(of_first, x[0]).reshape(3, 36)
    expected = torch.linalg.svdvals(matrix)
    assert found.samples[0].largest.value == pytest.approx(float(expected[0]), rel=1e-4)
    assert found.samples[0].smallest.value == pytest.approx(float(expected[-1]), rel=1e-3)


def test_orthogonal_weights_keep_every_length_and_gaussian_ones_do_not():
    """Saxe et al. (2014): of a deep linear network all singular values are one, or they spread."""
    x = torch.randn(2, 32)
    isometric = jacobian(layers(32, 12, nn.Identity, nn.init.orthogonal_), x)
    assert isometric.largest.value == pytest.approx(1, abs=1e-4)
    assert isometric.smallest.value == pytest.approx(1, abs=1e-4)
    assert isometric.spread < 1.001

    def gaussian(weight):
        nn.init.normal_(weight, std=1 / math.sqrt(weight.shape[1]))

    spread = jacobian(layers(32, 12, nn.Identity, gaussian), x)
    assert spread.largest.value > 3
    assert spread.spread > 1_000


def test_dynamical_isometry_of_tanh_needs_orthogonal_weights():
    """Pennington et al. (2017): at the edge of chaos with small inputs; Gaussian never."""
    edge = critical_sigma_w("tanh")
    x = 0.1 * torch.randn(2, 32)

    def scaled(weight):
        nn.init.orthogonal_(weight, gain=edge)

    def gaussian(weight):
        nn.init.normal_(weight, std=edge / math.sqrt(weight.shape[1]))

    orthogonal, normal = (jacobian(layers(32, 12, draw=d), x) for d in (scaled, gaussian))
    assert orthogonal.smallest.value > 0.5
    assert orthogonal.largest.value < 1.1
    assert normal.spread > 100 * orthogonal.spread


def test_the_mean_square_is_chi_to_the_depth():
    """Pennington et al. (2017), equation 7: the mean square of the singular values."""
    field = MeanField("relu", 1.2, 0.0)

    def gaussian(weight):
        nn.init.normal_(weight, std=1.2 / math.sqrt(weight.shape[1]))

    found = jacobian(layers(128, 5, nn.ReLU, gaussian), torch.randn(8, 128), samples=8)
    assert found.mean_square == pytest.approx(field.chi**5, rel=0.35)


def test_a_diagnosis_asks_its_model_and_leaves_it_as_it_was():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    batch = torch.randn(16, 4), torch.randint(0, 3, (16,))
    found = diagnose(model, batch)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    streams = torch.get_rng_state()
    asked = found.jacobian(samples=2)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), streams)
    assert not batch[0].requires_grad
    assert [one.shape for one in asked.samples] == [(3, 4)] * 2
    assert asked.run_record().metrics["largest singular value"] == (asked.largest.value,)
    assert str(asked).startswith("sample 0: 3 singular values from ")


def test_a_step_of_ones_own_is_asked_by_its_forward():
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    found = jacobian(model, torch.randn(5, 4), forward=lambda m, batch: m(batch).square().mean())
    expected = torch.linalg.svdvals(model.weight.detach())
    assert found.largest.value == pytest.approx(float(expected[0]), rel=1e-4)


@pytest.mark.parametrize(
    ("model", "batch", "said"),
    [
        (nn.Embedding(5, 3), torch.tensor([1, 2]), "which have no Jacobian"),
        (nn.Sequential(nn.Linear(4, 3), nn.Flatten(0)), torch.randn(2, 4), "no row for each"),
    ],
)
def test_what_has_no_jacobian_is_told(model, batch, said):
    with pytest.raises(InitcheckError, match=said):
        jacobian(model, batch)


@pytest.mark.parametrize("options", [{"samples": 0}, {"samples": True}, {"steps": 0}])
def test_numbers_that_are_none_are_told(options):
    with pytest.raises(InitcheckError, match="pass"):
        jacobian(nn.Linear(2, 2), torch.randn(3, 2), **options)
