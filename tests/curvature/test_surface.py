"""What `critical_point` accepts, refuses, says and records."""

from __future__ import annotations

import math

import pytest
import torch
from support.curvature import NOTHING, Objective, own, point_of
from torch import nn

from pytest_initcheck.curvature import critical_point
from pytest_initcheck.errors import InitcheckError


def batch(size=8):
    return torch.randn(size, 3), torch.randint(0, 2, (size,))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"seed": "x"}, "seed is 'x'"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"tolerance": math.nan}, "tolerance is nan"),
        ({"loss_fn": 3}, "loss_fn is a int"),
        ({"loss_fn": nn.CrossEntropyLoss(), "forward": own}, "both passed"),
        ({"device": "no"}, "device 'no'"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InitcheckError, match=message):
        critical_point(nn.Linear(3, 2), batch(), **options)


def test_wrong_models_and_batches():
    with pytest.raises(InitcheckError, match="cannot be called without arguments"):
        critical_point(nn.Linear, batch())
    with pytest.raises(InitcheckError, match="frozen"):
        critical_point(nn.Linear(3, 2).requires_grad_(False), batch())
    with pytest.raises(InitcheckError, match="the batch is empty"):
        critical_point(nn.Linear(3, 2), batch(0))
    with pytest.raises(InitcheckError, match="the model's forward raised"):
        critical_point(nn.Linear(4, 2), batch())


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda w: w.sum() / 0 * 0, "the loss is nan"),
        (lambda w: (w - w).sqrt().sum(), "2 values of the gradient are not finite"),
    ],
)
def test_what_is_not_finite_is_refused(function, message):
    with pytest.raises(InitcheckError, match=rf"{message} .*diagnose"):
        point_of(function, [1.0, 2.0])


def test_forms_of_batches():
    torch.manual_seed(0)
    model, (x, y) = nn.Linear(3, 2), batch()
    pair = critical_point(model, (x, y))
    named = critical_point(model, {"input": x, "labels": y})
    custom = critical_point(
        model, {"x": x}, forward=lambda m, b: nn.functional.cross_entropy(m(b["x"]), y)
    )
    assert pair.loss == named.loss == custom.loss
    assert pair.largest == named.largest == custom.largest
    assert pair.best_constant is not None
    assert custom.best_constant is None
    assert critical_point(model, x, loss_fn=lambda out: out.square().mean()).loss > 0


def test_lazy_models_and_devices():
    model = nn.Sequential(nn.LazyLinear(4), nn.Tanh(), nn.LazyLinear(2))
    assert critical_point(model, batch(), device="cpu").parameters == 26


def test_under_no_grad_and_inference_mode():
    model, data = nn.Linear(3, 2), batch()
    with torch.no_grad():
        assert critical_point(model, data).kind == "slope"
    with torch.inference_mode():
        assert critical_point(model, data).kind == "slope"


def test_one_readable_line():
    text = str(point_of(lambda w: w[0] ** 2 - w[1] ** 2, [0.0, 0.0]))
    assert "\n" not in text
    assert text.startswith("saddle: loss 0, gradient norm 0")
    assert "eigenvalues from -2 ± " in text
    assert "2 parameters" in text


def test_the_record_for_the_baseline():
    record = point_of(lambda w: w[0] ** 2 - w[1] ** 2, [0.0, 0.0]).run_record()
    assert record.metrics["largest eigenvalue"] == pytest.approx((2,))
    assert record.metrics["smallest eigenvalue"] == pytest.approx((-2,))
    assert record.metrics["kind: saddle"] == (1,)
    assert record.meta["dtype"] == "float32"


CONSTANTS = {
    "classes": (torch.zeros(40, 4), torch.tensor([0] * 10 + [1] * 30), None, 0.5623),
    "sequences": (
        torch.zeros(20, 2, 4),
        torch.tensor([0] * 10 + [1] * 30).reshape(20, 2),
        None,
        0.5623,
    ),
    "squares": (torch.zeros(4, 1), torch.tensor([[0.0], [2.0], [4.0], [6.0]]), None, 5.0),
    "binary": (torch.zeros(8, 1), torch.tensor([1] * 2 + [0] * 6), None, 0.5623),
    "probabilities": (
        torch.full((8, 1), 0.7),
        torch.tensor([[1.0]] * 2 + [[0.0]] * 6),
        nn.BCELoss(),
        0.5623,
    ),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_what_a_constant_prediction_costs(name):
    output, targets, loss_fn, expected = CONSTANTS[name]

    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return x + self.w

    point = critical_point(Fixed(), (output, targets), loss_fn=loss_fn)
    assert point.best_constant == pytest.approx(expected, abs=2e-4)


def test_steps_are_bounded_by_memory(monkeypatch):
    from pytest_initcheck.curvature import critical

    monkeypatch.setattr(critical, "MEMORY", 4 * 1000 * 7)
    model = nn.Linear(100, 10, bias=False)
    point = critical_point(model, (torch.randn(64, 100), torch.randn(64, 10)))
    assert point.steps <= 7


def test_half_precision():
    model = nn.Linear(3, 2).bfloat16()
    point = critical_point(model, (torch.randn(8, 3).bfloat16(), torch.randint(0, 2, (8,))))
    assert point.rounding > 1e-3 * point.largest.value
    assert point.smallest.value >= -point.rounding


def test_the_objective_is_not_changed():
    model = Objective(lambda w: w.square().sum(), [3.0])
    critical_point(model, NOTHING, forward=own)
    assert model.w.tolist() == [3.0]
    assert model.w.grad is None
