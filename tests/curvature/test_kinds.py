"""What kind of place it is, on objectives and networks where that is known."""

from __future__ import annotations

import pytest
import torch
from support.curvature import (
    OneTwoOne,
    binary,
    bump,
    descend,
    exact,
    point_of,
    stalled,
)
from torch import nn

from pytest_initcheck.curvature import critical_point

QUADRATICS = {
    "minimum": [1.0, 4.0, 9.0],
    "maximum": [-1.0, -4.0, -9.0],
    "saddle": [-1.0, 0.0, 9.0],
    "flat": [0.0, 0.0, 0.0],
}


def quadratic(curvatures):
    return lambda w: (torch.tensor(curvatures).to(w) * w.square()).sum() / 2


def quartic(w):
    return (2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48).sum()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", QUADRATICS)
def test_quadratics(kind, dtype):
    curvatures = QUADRATICS[kind]
    point = point_of(quadratic(curvatures), [0.0, 0.0, 0.0], dtype)
    assert point.kind == kind
    for end, value in ((point.smallest, min(curvatures)), (point.largest, max(curvatures))):
        assert abs(end.value - value) <= end.error <= 1e-5
    assert (point.gradient_norm, point.decrease, point.parameters) == (0, 0, 3)


def test_off_the_critical_point_it_is_a_slope():
    point = point_of(quadratic([1.0, 4.0, 9.0]), [1.0, 0.0, 0.0])
    assert point.kind == "slope"
    assert point.gradient_norm == pytest.approx(1)
    # ‖g‖²/2λ = 1/18, of a loss of 1/2.
    assert point.decrease == pytest.approx(1 / 9)


def test_objectives_of_one_weight():
    assert point_of(lambda w: (w**3).sum(), [0.0]).kind == "flat"
    assert point_of(lambda w: (w**3).sum(), [1.0]).kind == "slope"
    minimum = point_of(quartic, [4.0])
    assert minimum.kind == "minimum"
    assert minimum.smallest.value == minimum.largest.value == pytest.approx(126)
    assert point_of(quartic, [3.0]).kind == "slope"


def test_a_plane_has_no_curvature():
    point = point_of(lambda w: w.sum(), [4.0, 0.0])
    assert point.kind == "slope"
    assert (point.smallest.value, point.largest.value) == (0, 0)


def test_the_tolerance_decides_what_counts():
    def bowl(w):
        return 1 + w.square().sum() / 2

    assert point_of(bowl, [0.1], tolerance=1e-2).kind == "minimum"
    assert point_of(bowl, [0.1], tolerance=1e-3).kind == "slope"


def test_negligible_negative_curvature_is_no_saddle():
    def nearly(w):
        return 1 + w[0] ** 2 - 1e-5 * w[1] ** 2

    assert point_of(nearly, [0.0, 0.0]).kind == "minimum"
    assert point_of(nearly, [0.0, 0.0], tolerance=1e-6).kind == "saddle"


def test_negative_curvature_that_takes_for_ever_is_no_saddle():
    """Far from the origin the distance is long, but gradient descent would need 1e8 steps."""

    def nearly(w):
        return 1 + w[0] ** 2 - 1e-8 * (w[1] - 1e6) ** 2

    point = point_of(nearly, [0.0, 1e6], torch.float64)
    assert point.kind == "minimum"
    assert point.smallest.value == pytest.approx(-2e-8)


def test_rounding_is_no_negative_curvature():
    """A minimum of zero loss with more weights than samples: most eigenvalues are 0."""
    for seed in range(5):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(20, 40), nn.Tanh(), nn.Linear(40, 4))
        inputs = torch.randn(8, 20)
        point = critical_point(model, (inputs, model(inputs).detach()))
        assert point.kind == "minimum"
        assert -point.smallest.value <= point.rounding < 1e-5 * point.largest.value


def noisy():
    torch.manual_seed(0)
    x = torch.randn(64, 2, dtype=torch.float64)
    return x, torch.sin(x.sum(1, keepdim=True)) + 0.3 * torch.randn(64, 1, dtype=torch.float64)


def test_a_trained_network_is_in_a_minimum():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    assert critical_point(model, noisy()).kind == "slope"
    descend(model, noisy(), nn.functional.mse_loss, steps=800)
    point = critical_point(model, noisy())
    assert point.kind == "minimum"
    assert point.loss < point.best_constant
    values, _ = exact(model, noisy()[0], lambda out: nn.functional.mse_loss(out, noisy()[1]))
    assert point.largest.value == pytest.approx(float(values[-1]), rel=1e-9)


def test_equal_units_end_on_a_saddle_that_breaks_the_symmetry():
    model, (x, y) = stalled()
    point = critical_point(model, (x, y), loss_fn=binary)
    assert point.kind == "saddle"
    assert point.loss < point.best_constant
    double, targets = model.double(), y.double()
    values, vectors = exact(double, x.double(), lambda out: binary(out, targets))
    assert point.smallest.value == pytest.approx(float(values[0]), abs=point.smallest.error)
    lowest = vectors[:, 0]
    for first in (0, 2, 4):
        assert float(lowest[first]) == pytest.approx(-float(lowest[first + 1]), rel=1e-3)
    assert float(lowest[6]) == pytest.approx(0, abs=1e-3)
    assert point.direction["second.bias"] < 1e-5
    assert sum(point.direction.values()) == pytest.approx(1)


def test_different_units_go_on():
    torch.manual_seed(0)
    model = OneTwoOne()
    for layer in (model.first, model.second):
        layer.reset_parameters()
    assert critical_point(model, bump(), loss_fn=binary).kind == "slope"


def balanced():
    torch.manual_seed(0)
    x = torch.randn(30, 4)
    return x - x.mean(0), torch.cat([x[:15, :1], -x[:15, :1]])


def zeros(activation):
    model = nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 1))
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    return model


def test_a_zero_network_is_a_saddle():
    """Its gradient is 0, but both layers together fall: ∂²L/∂W₁∂W₂ = E[error · x] is not 0."""
    point = critical_point(zeros(nn.Tanh()), balanced())
    assert point.gradient_norm < 1e-6
    assert point.kind == "saddle"
    assert point.loss == pytest.approx(point.best_constant, rel=1e-5)


def test_a_zero_network_of_relus_is_a_minimum_in_its_last_bias():
    """The slope of ReLU at 0 is 0 in PyTorch, so that only the last bias moves the loss."""
    point = critical_point(zeros(nn.ReLU()), balanced())
    assert point.kind == "minimum"
    assert (point.smallest.value, point.largest.value) == pytest.approx((0, 2), abs=1e-5)


def test_a_dead_network_is_flat():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    nn.init.constant_(model[0].bias, -100.0)
    point = critical_point(model, (torch.randn(16, 4), torch.randint(0, 3, (16,))))
    assert point.kind == "flat"
    assert (point.gradient_norm, point.largest.value, point.smallest.value) == (0, 0, 0)
    assert point.loss == pytest.approx(1.0986, abs=1e-3)


def test_a_saturated_network_is_flat():
    """Gradient and curvature are not 0, but far from worth anything."""
    model = nn.Sequential(nn.Linear(4, 8), nn.Sigmoid(), nn.Linear(8, 3, bias=False))
    nn.init.constant_(model[0].bias, -40.0)
    point = critical_point(model, (torch.randn(16, 4), torch.randint(0, 3, (16,))))
    assert point.gradient_norm > 0
    assert point.kind == "flat"
