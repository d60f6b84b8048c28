"""Where `escape` says that a trajectory ends."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import optim

from pytest_initcheck import escape


def sgd(lr=0.01, momentum=0.0):
    return lambda parameters: optim.SGD(parameters, lr=lr, momentum=momentum)


def end(objective, start, optimizer=None, steps=50, **options):
    (found,) = set(escape(objective, start, optimizer or sgd(), steps, **options).ends)
    return found


def cubic(w):
    return w**3


def quartic(w):
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def horse(w):
    """The plain saddle: a valley along the first axis, a ridge along the second."""
    return w[0] ** 2 - w[1] ** 2


def monkey(w):
    return w[0] ** 3 - 3 * w[0] * w[1] ** 2


def peano(w):
    """Rises along every straight line through 0, falls along the parabola between its factors."""
    return (w[1] - w[0] ** 2) * (w[1] - 3 * w[0] ** 2)


def rosenbrock(w):
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


# The four ends, and the exact stationary points


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_both_minima_of_the_quartic(momentum):
    assert end(quartic, 6.0, sgd(0.001, momentum), 100) == "minimum"


def test_the_ridge_of_the_quartic_is_a_maximum():
    assert end(quartic, 1.375, sgd(0.001)) == "maximum"


@pytest.mark.parametrize(
    ("objective", "start", "expected"),
    [
        (cubic, [0.0], "saddle"),
        (horse, [0.0, 0.0], "saddle"),
        (monkey, [0.0, 0.0], "saddle"),
        (peano, [0.0, 0.0], "saddle"),
        (lambda w: w**4, [0.0], "minimum"),
        (lambda w: w**4 + 1000, [0.0], "minimum"),
        (lambda w: -(w**4), [0.0], "maximum"),
        (lambda w: w[0] ** 4 + w[1] ** 2, [0.0, 0.0], "minimum"),
        (lambda w: w[0] ** 4 - w[1] ** 2, [0.0, 0.0], "saddle"),
        (lambda w: w[0] ** 3 + w[1] ** 2, [0.0, 0.0], "saddle"),
        (lambda w: (w[0] * w[1]) ** 2, [0.0, 0.0], "minimum"),
        (lambda w: torch.cos(w).sum(), [0.0, 0.0], "maximum"),
        (lambda w: (w[0] + w[1]) ** 2, [1.0, -1.0], "minimum"),
        (lambda w: 0 * w, [1.0], "flat"),
        (torch.relu, [-1.0], "flat"),
    ],
)
def test_a_start_on_a_stationary_point(objective, start, expected):
    assert end(objective, start) == expected


def test_a_ridge_walked_along_exactly_leads_to_the_saddle():
    assert end(horse, [1.0, 0.0], sgd(0.1), 100) == "saddle"


def test_leaving_a_saddle_is_still_moving():
    assert end(horse, [1.0, 1e-3], sgd(0.1), 20) == "still moving"


@pytest.mark.parametrize(("steps", "expected"), [(10, "still moving"), (600, "saddle")])
def test_the_crawl_to_an_inflection_is_an_end_only_when_it_gets_there(steps, expected):
    assert end(cubic, 4.0, sgd(0.01), steps) == expected


def test_an_endless_slope_is_still_moving():
    assert end(lambda w: w.sum(), [1.0, 2.0], sgd(0.1)) == "still moving"
    assert end(lambda w: torch.exp(-w), 0.0, sgd(0.1), 1000) == "still moving"


def test_a_slow_direction_keeps_a_seed_moving():
    """The steep direction is at rest, the gradient 1/500,000 of the first; w[0] has far to go."""
    found = escape(lambda w: 1e-3 * w[0] ** 2 + 500 * w[1] ** 2, [1.0, 1.0], sgd(1e-3), 100)
    assert found.gradient_norms[0] < 1000 / 4e5
    assert set(found.ends) == {"still moving"}


def test_passing_through_a_minimum_at_speed_is_still_moving():
    speeding = sgd(0.01, 0.999)
    path = escape(lambda w: w**2, 1.0, speeding, 100, seeds=1).trajectories[0, :, 0]
    crossing = int((path < 0).int().argmax())
    assert crossing > 0
    assert end(lambda w: w**2, 1.0, speeding, crossing) == "still moving"


def test_one_jump_into_the_minimum_is_an_end():
    assert end(lambda w: (w**2).sum(), [3.0, 4.0], sgd(0.5), 1) == "minimum"


# Divergence


def test_a_step_size_beyond_two_over_the_curvature_diverges():
    assert end(lambda w: w**2, 1.0, sgd(1.1), 30) == "diverged"


def test_a_runaway_to_infinity_diverges_and_is_held_there():
    found = escape(cubic, 4.0, sgd(0.01, 0.9), 200, reached=lambda w: w < 0)
    assert set(found.ends) == {"diverged"}
    assert found.final[0].item() == -math.inf
    assert all(found.escaped)


@pytest.mark.parametrize("objective", [torch.log, torch.sqrt])
def test_an_objective_left_at_the_edge_of_its_domain_has_diverged(objective):
    found = escape(objective, 0.01, sgd(1.0), 5)
    assert found.values[0, -1].isnan()
    assert set(found.ends) == {"diverged"}


def test_a_seed_that_ends_at_nan_has_reached_nothing():
    found = escape(torch.sqrt, 0.01, sgd(1.0), 5, reached=lambda w: not bool(w > 0))
    assert found.final.isnan().all()
    assert not any(found.escaped)


def test_an_objective_that_is_infinite_at_the_end_diverges():
    assert end(lambda w: 1 / w, 0.0, sgd(0.1), 3) == "diverged"


# Noise


def test_a_jitter_about_a_minimum_is_an_end_in_it():
    found = escape(lambda w: (w**2).sum(), [3.0, 4.0], sgd(0.1), 200, noise=1.0)
    assert found.ends.count("minimum") >= 7


def test_noise_drives_off_a_saddle():
    found = escape(lambda w: horse(w) + w[1] ** 4, [0.0, 0.0], sgd(0.05), 400, noise=0.1)
    assert found.ends.count("minimum") >= 7
    assert "saddle" not in found.ends


def test_noise_on_the_way_does_not_make_an_end():
    found = escape(lambda w: (w**2).sum(), [100.0, 0.0], sgd(0.001), 100, noise=0.5)
    assert set(found.ends) == {"still moving"}


# It is the landscape that counts, not its units


@settings(max_examples=8, deadline=None)
@given(st.floats(-6, 6), st.floats(-3, 3))
def test_the_unit_of_the_objective_does_not_matter(exponent, offset):
    scale = 10.0**exponent
    found = end(lambda w: scale * (quartic(w) + offset), [6.0], sgd(0.001 / scale), 100, seeds=1)
    assert found == "minimum"


@settings(max_examples=8, deadline=None)
@given(st.floats(-3, 3), st.sampled_from([10, 600]))
def test_the_unit_of_the_parameter_does_not_matter(exponent, steps):
    scale = 10.0**exponent
    found = end(lambda w: (w / scale) ** 3, [4 * scale], sgd(0.01 * scale**2), steps, seeds=1)
    assert found == ("still moving" if steps == 10 else "saddle")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.floats(0.1, 10).flatmap(lambda x: st.sampled_from([x, -x])), min_size=1, max_size=5
    ),
    st.integers(0, 1000),
)
def test_a_turned_quadratic_form_ends_as_the_signs_of_its_eigenvalues_say(eigenvalues, seed):
    n = len(eigenvalues)
    source = torch.Generator().manual_seed(seed)
    axes, _ = torch.linalg.qr(torch.randn(n, n, generator=source, dtype=torch.float64))
    form = axes @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ axes.T
    found = escape(
        lambda w: w @ form @ w, torch.zeros(n, dtype=torch.float64), sgd(0.01), 10, seeds=1
    )
    positive = sum(value > 0 for value in eigenvalues)
    expected = {n: "minimum", 0: "maximum"}.get(positive, "saddle")
    assert found.ends == (expected,)
    doubled = sorted(2 * value for value in eigenvalues)
    assert found.eigenvalues[0].tolist() == pytest.approx(doubled, rel=1e-9)


# Functions that are awkward to differentiate


def test_an_objective_that_only_takes_single_precision():
    form = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    assert end(lambda w: w @ form @ w, [1.0, 1.0], sgd(0.05), 300) == "minimum"
    tilted = torch.tensor([[2.0, 0.0], [0.0, -3.0]])
    assert end(lambda w: w @ tilted @ w, [1.0, 0.0], sgd(0.05), 300) == "saddle"


class Once(torch.autograd.Function):
    """A square with a first derivative only."""

    @staticmethod
    def forward(ctx, w):
        ctx.save_for_backward(w)
        return w**2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        (w,) = ctx.saved_tensors
        return 2 * w * gradient


def test_an_objective_without_a_second_derivative():
    found = escape(lambda w: Once.apply(w).sum(), [1.0, 2.0], sgd(0.1), 100)
    assert set(found.ends) == {"minimum"}
    assert found.eigenvalues[0].tolist() == pytest.approx([2.0, 2.0], abs=1e-4)


def test_a_hundred_dimensions():
    curvature = torch.linspace(1, 5, 100)
    curved = escape(lambda w: (curvature * w**2).sum(), torch.ones(100), sgd(0.1), 100)
    assert set(curved.ends) == {"minimum"}
    assert curved.eigenvalues[0].tolist() == pytest.approx((2 * curvature).tolist(), rel=1e-5)


def test_the_bottom_of_a_bent_valley():
    assert end(rosenbrock, [-1.2, 1.0], sgd(1e-3), 1000, seeds=1) == "still moving"
    assert end(rosenbrock, [-1.2, 1.0], sgd(1e-3, 0.9), 2000, seeds=1) == "minimum"
