"""Seeds that walk together are grouped by their size alone, and each group is a task."""

import pytest
import torch
from support.engines import shuffled  # noqa: F401

from pytest_initcheck import escape
from pytest_initcheck.landscape import walk
from pytest_initcheck.landscape.problem import pose


def sgd(params):
    return torch.optim.SGD(params, lr=0.05)


def posed(elements=1, seeds=10, noise=0.1, optimizer=sgd):
    return pose(
        lambda w: (w**4 - w**2).sum(),
        torch.full((elements,), 0.1),
        optimizer,
        5,
        noise=noise,
        noise_on="gradient",
        seeds=seeds,
    )


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({}, [10]),
        ({"elements": 2**13}, [4, 4, 2]),
        ({"elements": 2**16}, [1] * 10),
        ({"optimizer": torch.optim.LBFGS}, [1] * 10),
        ({"elements": 2**13, "noise": 0.0}, [10]),
    ],
)
def test_as_many_as_fit_walk_together(given, sizes):
    groups = walk.grouped(posed(**given))
    assert [len(group) for group in groups] == sizes
    assert [seed for group in groups for seed in group] == list(range(10))


@pytest.mark.parametrize("optimizer", [sgd, torch.optim.LBFGS])
def test_groups_are_tasks_that_give_what_this_process_gives(shuffled, monkeypatch, optimizer):  # noqa: F811
    monkeypatch.setattr(walk, "_GROUP", 6)
    given = (lambda w: (w**4 - w**2).sum(), [0.1, 0.2], optimizer, 20)
    here, there = (escape(*given, noise=0.1, seeds=8, backend=b) for b in (None, "dask"))
    assert torch.equal(there.trajectories, here.trajectories)
    assert torch.equal(there.values, here.values)
    assert there.ends == here.ends
    assert len(shuffled.began) == (3 if optimizer is sgd else 8)
