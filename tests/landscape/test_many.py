"""The ends of many paths, asked all at once, are those that each path has by itself."""

import pytest
import torch
from torch import optim

from pytest_initcheck import escape
from pytest_initcheck.landscape import surface, walk
from pytest_initcheck.landscape.problem import pose


def quartic(w):
    return 2 * w**4 - 9 * w**3 - 21 * w**2 + 88 * w + 48


def cubic(w):
    return w**3


def monkey(w):
    return w[0] ** 3 - 3 * w[0] * w[1] ** 2


def bent(w):
    """A minimum at the bottom of a stiff and bent valley."""
    return (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2


def flat(w):
    """Rises in one direction of three alone."""
    return w[0] ** 2 + 0 * w.sum()


def rough(w):
    """Its gradient has no derivative that autograd knows."""
    return Absolute.apply(w).sum()


class Absolute(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(w):
        return w**2

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, gradient):
        (w,) = ctx.saved_tensors
        return 2 * w.detach() * gradient.detach()


def branching(w):
    """Cannot be mapped: it looks at a number."""
    return quartic(w[0]) if w[0].item() < 3 else quartic(w[0]) + 0 * w.sum()


CASES = {
    "quartic": (quartic, 6.0, 0.001, 60.0),
    "cubic": (cubic, 4.0, 0.01, 30.0),
    "monkey": (monkey, [1.0, 0.1], 0.01, 0.5),
    "bent": (bent, [0.5, 0.5], 0.002, 0.5),
    "flat": (flat, [1.0, 1.0, 1.0], 0.2, 0.01),
    "rough": (rough, [1.0, -2.0], 0.1, 0.3),
    "branching": (branching, [6.0, 0.0], 0.001, 30.0),
}


@pytest.mark.parametrize("name", CASES)
def test_they_end_as_one_by_one(name, monkeypatch):
    objective, start, lr, noise = CASES[name]

    def found():
        return escape(objective, start, lambda p: optim.SGD(p, lr=lr), 150, noise=noise, seeds=24)

    together = found()
    monkeypatch.setattr(surface, "_FEW", 10**9)
    alone = found()
    assert together.ends == alone.ends
    close = {"rtol": 1e-6, "atol": 1e-6, "equal_nan": True}
    torch.testing.assert_close(together.eigenvalues, alone.eigenvalues, **close)
    norms = (torch.tensor(each.gradient_norms) for each in (together, alone))
    torch.testing.assert_close(*norms, **close)


def test_what_cannot_be_mapped_or_differs_when_mapped_is_asked_one_by_one():
    def counted(w):
        calls.append(w.shape)
        return quartic(w[0]) * (1.0 if len(calls) % 2 else 1.5)

    for objective in (branching, counted):
        calls = []
        posed = pose(
            objective, [6.0, 0.0], lambda p: optim.SGD(p, lr=0.1), 1,
            noise=0.0, noise_on="gradient", seeds=1,
        )  # fmt: skip
        asked = surface.Surface(posed)
        calls.clear()
        assert asked.gradients(torch.ones(12, 2)).shape == (12, 2)
        assert objective is branching or len(calls) > 12


def test_every_seed_has_its_own_noise_whatever_seeds_go_with_it():
    posed = pose(
        quartic, 6.0, lambda p: optim.SGD(p, lr=0.1), 5, noise=2.0, noise_on="gradient", seeds=1
    )
    source = torch.Generator().manual_seed(3)
    expected = torch.randn(6, 1, generator=source, dtype=torch.float64) * 2.0
    assert torch.equal(posed.noises([1, 3, 2])[1], expected.float())


def less_mean(w):
    """Of one number, w² − w; of many at once something else."""
    return w**2 - w.mean()


def far_mean(w):
    """The same where nobody begins."""
    return torch.where((w > 0.55) & (w < 0.75), less_mean(w), w**2 - w)


@pytest.mark.parametrize(
    ("objective", "is_pointwise"),
    [(quartic, True), (cubic, True), (less_mean, False), (far_mean, False), (rough, False)],
)
def test_a_formula_takes_all_seeds_at_once_and_gives_the_same(monkeypatch, objective, is_pointwise):
    def walked():
        return walk.walk(
            pose(
                objective,
                0.5,
                lambda params: optim.SGD(params, lr=0.001, momentum=0.9),
                30,
                noise=10.0,
                noise_on="gradient",
                seeds=40,
            )
        )

    calls = []
    mapped = walk._mapped
    monkeypatch.setattr(walk, "_mapped", lambda *given: calls.append(1) or mapped(*given))
    mine = walked()
    # Whether the objective can be mapped, whether it need be, and what it gives at the ends.
    assert (len(calls) < 10) == is_pointwise
    monkeypatch.setattr(walk, "_is_pointwise", lambda _: False)
    other = walked()
    # The terms of a gradient may be added in another order.
    assert torch.allclose(mine.path, other.path, rtol=1e-4, atol=1e-4)
    assert torch.allclose(mine.values, other.values, rtol=1e-3, atol=1e-3)
