"""The trajectories of `escape`: numbers, noise, batches, and what they leave untouched."""

import random

import numpy
import pytest
import torch
from torch import optim
from torch.optim.optimizer import register_optimizer_step_post_hook

from pytest_initcheck import escape
from pytest_initcheck.landscape.problem import pose
from pytest_initcheck.landscape.walk import batched, one_by_one, walk


def cubic(w):
    return w**3


def quartic(w):
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def bowl(w):
    return (w**2).sum() + w[0] * w[-1] / 2


def sgd(lr=0.01, momentum=0.0):
    return lambda parameters: optim.SGD(parameters, lr=lr, momentum=momentum)


def problem(objective=bowl, start=(3.0, -2.0), optimizer=None, steps=20, noise=0.5, seeds=(0, 5)):
    return pose(
        objective,
        start,
        optimizer or sgd(0.05, 0.9),
        steps,
        noise=noise,
        noise_on="gradient",
        seeds=seeds,
    )


# Numbers


@pytest.mark.parametrize(("momentum", "final"), [(0.0, 1.7355), (0.9, -4.0995)])
def test_the_cubic_from_4(momentum, final):
    found = escape(cubic, 4.0, sgd(0.01, momentum), 10)
    assert found.final.shape == (8, 1)
    assert found.final[:, 0].tolist() == pytest.approx([final] * 8, abs=5e-4)


@pytest.mark.parametrize(("momentum", "final"), [(0.0, 4.0), (0.9, -1.9912)])
def test_the_quartic_from_6(momentum, final):
    found = escape(quartic, 6.0, sgd(0.001, momentum), 100)
    assert found.final[:, 0].tolist() == pytest.approx([final] * 8, abs=5e-4)


def test_a_trajectory_starts_at_the_start_and_has_a_point_per_step():
    found = escape(bowl, [3.0, -2.0], sgd(), 7, noise=1.0, seeds=[4, 2])
    assert found.trajectories.shape == (2, 8, 2)
    assert found.values.shape == (2, 8)
    assert found.trajectories[:, 0].tolist() == [[3.0, -2.0]] * 2
    assert found.values[:, 0].tolist() == [10.0, 10.0]
    assert found.seeds == (4, 2)


def test_no_steps_are_a_trajectory_of_one_point():
    found = escape(cubic, 4.0, sgd(), 0)
    assert found.trajectories.shape == (8, 1, 1)
    assert found.ends == ("still moving",) * 8


def test_a_start_of_any_shape_reaches_the_objective_and_the_predicate_in_that_shape():
    start = torch.ones(2, 3, dtype=torch.float64)
    found = escape(lambda w: (w @ w.T).sum(), start, sgd(), 3, reached=lambda w: w.shape == (2, 3))
    assert found.final.shape == (8, 2, 3)
    assert found.trajectories.dtype == torch.float64
    assert all(found.escaped)


@pytest.mark.parametrize(
    ("start", "dtype"),
    [
        (4, torch.float32),
        ([4.0], torch.float32),
        (torch.tensor(4), torch.float32),
        (torch.tensor(4.0, dtype=torch.float64), torch.float64),
        (numpy.array([4.0]), torch.float64),
        (numpy.float32(4), torch.float32),
    ],
)
def test_numbers_take_the_default_type_and_tensors_keep_theirs(start, dtype):
    assert escape(cubic, start, sgd(), 1, seeds=1).trajectories.dtype == dtype


# Noise


@pytest.mark.parametrize("std", [10, 100])
def test_noise_on_the_loss_moves_the_values_and_not_the_trajectory(std):
    quiet = escape(quartic, 6.0, sgd(0.001, 0.9), 100)
    noisy = escape(quartic, 6.0, sgd(0.001, 0.9), 100, noise=std, noise_on="loss")
    assert torch.equal(noisy.trajectories, quiet.trajectories)
    assert noisy.ends == quiet.ends
    gaps = noisy.values - quiet.values
    # 808 draws: the standard deviation of their standard deviation is std / √1,616
    assert gaps.std().item() == pytest.approx(std, rel=4 / 1616**0.5)


def test_noise_on_the_gradient_has_the_stated_spread_in_every_component():
    flat = escape(lambda w: (0 * w).sum(), [0.0, 0.0], sgd(lr=1.0), 400, noise=3.0)
    kicks = flat.trajectories.diff(dim=1)
    for component in range(2):
        assert kicks[..., component].std().item() == pytest.approx(3.0, rel=4 / 6400**0.5)
    assert torch.corrcoef(kicks.reshape(-1, 2).T)[0, 1].abs() < 4 / 3200**0.5


def test_a_seed_always_takes_the_same_way_whatever_seeds_go_with_it():
    alone = escape(bowl, [3.0, -2.0], sgd(), 20, noise=1.0, seeds=[3])
    among = escape(bowl, [3.0, -2.0], sgd(), 20, noise=1.0, seeds=[7, 3, 1])
    torch.testing.assert_close(alone.trajectories[0], among.trajectories[1])
    assert not torch.equal(among.trajectories[0], among.trajectories[1])


# One program for all seeds

ELEMENTWISE = [
    optim.SGD,
    optim.Adam,
    optim.AdamW,
    optim.Adamax,
    optim.NAdam,
    optim.RAdam,
    optim.RMSprop,
    optim.Adagrad,
    optim.Adadelta,
    optim.ASGD,
    optim.Rprop,
]


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_the_batch_goes_where_the_loop_goes(kind):
    posed = problem(optimizer=lambda parameters: kind(parameters, lr=0.05))
    together = batched(posed)
    assert together is not None
    alone = one_by_one(posed)
    for name in ("path", "values", "rest"):
        torch.testing.assert_close(getattr(together, name), getattr(alone, name))


def clipping(parameters):
    optimizer = optim.SGD(parameters, lr=0.05)

    def clip(*_):
        torch.nn.utils.clip_grad_norm_(parameters, max_norm=0.1)

    optimizer.register_step_pre_hook(clip)
    return optimizer


class OwnSGD(optim.SGD):
    def step(self, closure=None):
        torch.nn.utils.clip_grad_norm_(self.param_groups[0]["params"], max_norm=0.1)
        return super().step(closure)


@pytest.mark.parametrize("optimizer", [optim.LBFGS, clipping, lambda p: OwnSGD(p, lr=0.05)])
def test_an_optimizer_that_mixes_elements_runs_seed_by_seed(optimizer):
    posed = problem(optimizer=optimizer)
    assert batched(posed) is None
    assert walk(posed).path.shape == (2, 21, 2)


def test_a_hook_on_all_optimizers_is_seen_as_well():
    handle = register_optimizer_step_post_hook(lambda *_: None)
    try:
        assert batched(problem()) is None
    finally:
        handle.remove()
    assert batched(problem()) is not None


def test_clipping_by_the_norm_clips_each_seed_by_its_own_norm():
    path = walk(problem(optimizer=clipping, noise=0.0)).path
    assert path.diff(dim=1).norm(dim=-1).max() <= 0.05 * 0.1 + 1e-6


def choosing(w):
    return bowl(w) if w[0].item() > 0 else bowl(w) / 2


def drawing(w):
    return bowl(w) + torch.randn(()) * w.sum()


def drawing_with_numpy(w):
    return bowl(w) + float(numpy.random.randn()) * w.sum()


@pytest.mark.parametrize("objective", [choosing, drawing, drawing_with_numpy])
def test_an_objective_that_cannot_be_mapped_runs_seed_by_seed(objective):
    posed = problem(objective=objective)
    assert batched(posed) is None
    assert walk(posed).path.shape == (2, 21, 2)


def test_an_objective_that_draws_gives_each_seed_its_own_draws():
    found = escape(drawing, [3.0, -2.0], sgd(), 5, seeds=[0, 1])
    again = escape(drawing, [3.0, -2.0], sgd(), 5, seeds=[0, 1])
    assert not torch.equal(*found.trajectories)
    assert torch.equal(found.trajectories, again.trajectories)


def test_lbfgs_finds_the_minimum_of_rosenbrock():
    def rosenbrock(w):
        return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2

    found = escape(
        rosenbrock,
        [-1.2, 1.0],
        lambda p: optim.LBFGS(p, line_search_fn="strong_wolfe"),
        20,
        seeds=1,
    )
    assert found.final[0].tolist() == pytest.approx([1.0, 1.0], abs=1e-3)
    assert found.ends == ("minimum",)


# What it leaves as it was


def test_the_callers_random_streams_go_on_as_if_nothing_had_happened():
    def draws():
        return random.random(), float(numpy.random.rand()), torch.rand(3).tolist()

    for stream in (random.seed, numpy.random.seed, torch.manual_seed):
        stream(11)
    expected = draws()
    for stream in (random.seed, numpy.random.seed, torch.manual_seed):
        stream(11)
    escape(drawing, [3.0, -2.0], sgd(), 5, noise=1.0)
    escape(bowl, [3.0, -2.0], sgd(), 5, noise=1.0)
    assert draws() == expected


def test_the_start_and_other_tensors_of_the_objective_stay_untouched():
    start = torch.tensor([1.0, 2.0], requires_grad=True)
    scale = torch.tensor(2.0, requires_grad=True)
    escape(lambda w: scale * bowl(w), start, sgd(), 5, noise=1.0)
    assert start.tolist() == [1.0, 2.0]
    assert start.grad is None
    assert scale.grad is None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_switched_off(mode):
    with mode():
        found = escape(cubic, 4.0, sgd(), 10, seeds=1)
    assert found.final[0].item() == pytest.approx(1.7355, abs=5e-4)
