"""What the first look settles is left out between the steps; what it does not is measured."""

from __future__ import annotations

import gc

import torch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.capture.collector import no_full_collections
from pytest_initcheck.capture.program import Program
from pytest_initcheck.capture.snapshot import SnapshotTaker


def looks(model):
    """The first look, one between the steps, and a full one."""
    torch.manual_seed(1)
    taker = SnapshotTaker(Program(model, (torch.randn(64, 6), torch.randint(0, 3, (64,)))))
    return [
        taker.take(step, full=full).snapshot for step, full in ((0, True), (1, False), (2, True))
    ]


def model(push):
    """Two rectified layers; ``push`` is added to the biases of the units of the second."""
    torch.manual_seed(0)
    made = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    made[2].bias.data += push
    return made


def test_a_layer_with_a_dead_unit_is_measured_in_every_look():
    first, between, last = looks(model(torch.tensor([-100.0, *[1.0] * 7])))
    (dead,) = [key for key in first.sites if key.layer == "2"]
    assert (between.sites[dead].flat == between.sites[dead].samples).tolist() == [
        True,
        *[False] * 7,
    ]
    assert set(last.sites) == set(first.sites)


def test_a_layer_of_which_every_unit_passes_something_is_not():
    first, between, last = looks(model(torch.ones(8)))
    assert {key.layer for key in first.sites} >= {"2"}
    assert "2" not in {key.layer for key in between.sites}
    assert set(last.sites) == set(first.sites)


def test_what_differs_between_samples_is_asked_until_it_reaches_the_last_layer():
    def shares(made):
        return {name: seen.variation for name, seen in looks(made)[1].outputs.items()}

    cut = model(torch.ones(8))
    cut[4].weight.data.zero_()
    cut[2].weight.data.zero_()
    assert all(share is not None for share in shares(cut).values())
    assert all(share is None for share in shares(model(torch.ones(8))).values())


def test_the_collector_is_left_as_it_was():
    before = gc.get_threshold()
    with no_full_collections():
        assert gc.get_threshold()[:2] == before[:2]
        assert gc.get_threshold()[2] > before[2]
    diagnose(model(torch.ones(8)), (torch.randn(8, 6), torch.randint(0, 3, (8,))))
    assert gc.get_threshold() == before
