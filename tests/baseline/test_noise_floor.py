"""What repeated runs say of their numbers: how far they lie apart, and what is tolerated."""

import math

import pytest
from support.baseline import network

from pytest_initcheck.baseline.noise_floor import noise_floor
from pytest_initcheck.records import RunRecord


def metrics(*values: float) -> list[RunRecord]:
    return [RunRecord(metrics={"accuracy": (value,)}) for value in values]


def test_a_single_number_is_held_to_a_ten_thousandth():
    (found,) = noise_floor(metrics(0.9, 0.9, 0.9), metrics(0.9, 0.91, 0.93))
    assert (found.name, found.kind, found.value) == ("metric accuracy", "metric", 0.9)
    assert (found.same.moved, found.same.changed, found.same.pairs) == (0.0, 0, 3)
    assert found.share(found.other.moved) == pytest.approx(0.03 / 0.9, rel=0.02)
    assert (found.other.changed, found.other.pairs) == (3, 3)
    assert found.share(found.other.tolerated) == pytest.approx(1e-4, rel=0.05)


def test_the_spread_over_seeds_is_tolerated():
    runs = [
        RunRecord(metrics={"a": tuple(i / 100 + shift for i in range(8))})
        for shift in (0, 0.001, 1)
    ]
    (found,) = noise_floor(runs[:2], [runs[0], runs[2]])
    assert (found.same.changed, found.other.changed) == (0, 1)
    assert found.same.moved == pytest.approx(0.001)
    assert found.other.moved == pytest.approx(1.0)
    assert found.same.moved < found.same.tolerated < found.other.moved


def test_of_zero_there_is_no_share():
    (found,) = noise_floor(metrics(0.0, 0.0), metrics(0.0, 0.5))
    assert (found.unit, found.share(found.other.moved)) == (None, 0.5)


def test_metrics_come_before_losses_and_these_before_tensors():
    runs = [network(seed) for seed in range(3)]
    found = noise_floor([runs[0]] * 2, runs)
    kinds = [quantity.kind for quantity in found]
    assert kinds == sorted(kinds, key=["metric", "loss", "tensor"].index)
    assert {q.name for q in found if q.kind == "loss"} == {"before loss", "curve loss"}
    tensors = [q.share(q.other.moved) for q in found if q.kind == "tensor"]
    assert tensors == sorted(tensors, reverse=True)
    # Fresh weights are chance, and equal ones say nothing on what would be tolerated.
    assert not any(q.other.changed or q.same.changed for q in found)
    assert math.isinf(next(q for q in found if q.kind == "tensor").same.tolerated)
