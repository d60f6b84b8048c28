"""What someone wrote into a program is told; what was computed, and how it is run, is not."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.comparing import rows, started
from torch import nn
from torch.nn import functional as F

from pytest_initcheck.capture.written import (
    body,
    constants,
    function_name,
    optimizer_name,
    rates,
    written,
)

# Constants


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "None"), (True, "True"), (3, "3"), (-1, "-1"), ("sum", "sum"), (0.5, "0.5"),
        (1e-05, "1e-05"), (1.001, "1.001"), (0.0, "0"), (math.inf, "inf"), (math.nan, "nan"),
        (1 / 3, "~"), (0.1234567, "~"), (torch.float16, "float16"), ((1, 2.5), "(1, 2.5)"),
        ([1, (2,)], "(1, (2))"), ((), "()"), ((1 / 3, 1), "(~, 1)"),
    ],
)  # fmt: skip
def test_what_was_written_is_its_text(value, text):
    assert written(value) == text


@pytest.mark.parametrize("value", [object(), {}, {1}, (1, object()), torch.tensor(1.0), len])
def test_what_is_no_constant_has_none(value):
    assert written(value) is None


@given(st.integers(-99_999, 99_999), st.integers(-20, 20))
def test_numbers_of_few_digits_can_be_told_apart(digits, power):
    value = float(f"{digits}e{power}")
    assert float(written(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_float_is_itself_or_a_computed_one(value):
    text = written(value)
    assert text == "~" or float(text) == value


def test_arguments_that_were_not_given_are_left_out():
    assert constants((1, None, 0.5, object()), {"b": None, "c": 2, "a": "x"}) == (
        "1", "0.5", "a=x", "c=2"
    )  # fmt: skip


# Optimisers


def optimizer(kind, *groups, **options):
    each = [{"params": [nn.Parameter(torch.zeros(2))], **group} for group in groups or [{}]]
    return kind(each, **options)


@pytest.mark.parametrize(
    ("kind", "options", "name"),
    [
        (torch.optim.SGD, {"lr": 0.1}, "SGD"),
        (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, "SGD(momentum=0.9)"),
        (torch.optim.SGD, {"momentum": 0.0, "dampening": 0}, "SGD"),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True}, "SGD(momentum=0.9, nesterov=True)"),
        (torch.optim.Adam, {"betas": (0.9, 0.95)}, "Adam(betas=(0.9, 0.95))"),
        (torch.optim.Adam, {"foreach": True}, "Adam"),
        (torch.optim.Adam, {"amsgrad": True, "eps": 1e-6}, "Adam(amsgrad=True, eps=1e-06)"),
        (torch.optim.AdamW, {}, "AdamW"),
        (torch.optim.AdamW, {"weight_decay": 0.1}, "AdamW(weight_decay=0.1)"),
    ],
)
def test_an_optimiser_is_named_by_what_was_chosen(kind, options, name):
    assert optimizer_name(optimizer(kind, **options)) == name


def test_groups_are_told_where_they_differ():
    alike = optimizer(torch.optim.SGD, {"lr": 0.1}, {"lr": 0.1})
    assert (optimizer_name(alike), rates(alike)) == ("SGD", "0.1")
    other = optimizer(torch.optim.SGD, {"lr": 0.1, "weight_decay": 0.5}, {"lr": 0.2})
    assert (optimizer_name(other), rates(other)) == ("SGD(weight_decay=0.5; )", "0.1, 0.2")


def test_a_rate_may_be_a_tensor_or_absent():
    assert rates(optimizer(torch.optim.Adam, lr=torch.tensor(0.25))) == "0.25"

    class Plain(torch.optim.Optimizer):
        def __init__(self, params):
            super().__init__(params, {})

    assert (optimizer_name(optimizer(Plain)), rates(optimizer(Plain))) == ("Plain", "its own")


# Functions and losses


def mean_square(output, target):
    """Docstring."""
    return 0.5 * (output - target).square().mean()


def documented(output, target):
    """other"""
    return 0.5 * (output - target).square().mean()


def counting(output, target):
    """Docstring."""
    count = 7
    return 0.5 * (output - target).square().mean() * count / 7


def scaled(output, target):
    """Docstring."""
    return 0.25 * (output - target).square().mean()


def summed(output, target):
    """Docstring."""
    return 0.5 * (output - target).square().sum()


class Focal(nn.Module):
    def __init__(self, gamma=2.0, weight=None, reduction="mean"):
        super().__init__()
        self.gamma = gamma
        self.reduction = reduction


class Callable:
    def __call__(self, output, target):
        return output.sum()


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (nn.CrossEntropyLoss(), "CrossEntropyLoss"),
        (nn.CrossEntropyLoss(reduction="sum"), "CrossEntropyLoss(reduction=sum)"),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "CrossEntropyLoss(label_smoothing=0.1)"),
        (Focal(), "Focal"),
        (Focal(0.5, reduction="sum"), "Focal(gamma=0.5, reduction=sum)"),
        (F.cross_entropy, "cross_entropy"),
        (functools.partial(F.cross_entropy, reduction="sum"), "cross_entropy(reduction=sum)"),
        (
            functools.partial(F.cross_entropy, label_smoothing=0.1, weight=torch.ones(2)),
            "cross_entropy(label_smoothing=0.1)",
        ),
        (mean_square, "mean_square"),
        (Callable(), "Callable"),
    ],
)
def test_a_loss_is_named_by_what_was_chosen(function, name):
    assert function_name(function) == name


def test_a_changed_body_is_told_apart_and_documentation_is_not():
    assert body(mean_square) == body(documented) != ""
    assert len({body(f) for f in (mean_square, scaled, summed)}) == 3
    smoothed = [
        lambda o, t: F.cross_entropy(o, t),
        lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1),
        lambda o, t: F.cross_entropy(o, t, label_smoothing=0.2),
        lambda o, t: F.cross_entropy(o, t, reduction="mean"),
        lambda o, t: F.cross_entropy(o, t, reduction="sum"),
    ]
    assert len({body(f) for f in smoothed}) == len(smoothed)


def test_integers_are_no_change_of_a_body():
    # Some of them have left the constants of later Pythons.
    assert body(counting) == body(mean_square)
    assert body(lambda o, t: (o - t)[1:]) == body(lambda o, t: (o - t)[2:])


def test_only_what_someone_wrote_has_a_body():
    assert body(F.cross_entropy) == body(nn.MSELoss()) == body(len) == body(Callable()) == ""
    assert len(body(eval(f"lambda o: o.{'.'.join('abcdefgh' * 40)}"))) <= 160


# Operators


class Net(nn.Module):
    """Two layers, with something done between them."""

    def __init__(self, between):
        super().__init__()
        self.first, self.second = nn.Linear(16, 8), nn.Linear(8, 5)
        self.between = between

    def forward(self, x):
        return self.second(self.between(self.first(x)))


def made_of(between):
    """Operators, and a digest of their order, of the forward pass."""
    found = started(lambda: Net(between)).before
    return found.operations, found.wiring


def test_operators_are_counted_with_their_constants():
    operations, _ = made_of(lambda h: F.leaky_relu(F.leaky_relu(h, 0.2), 0.1) * 1.5)
    assert operations == {
        "addmm": 2, "leaky_relu(0.2)": 1, "leaky_relu(0.1)": 1, "mul(1.5)": 1,
    }  # fmt: skip


def test_a_computed_factor_is_not_told_and_a_written_one_is():
    third, seventh = made_of(lambda h: h * (1 / 3)), made_of(lambda h: h * (1 / 7))
    assert third == seventh
    assert "mul(~)" in third[0]
    assert made_of(lambda h: h * 1.001)[0] != made_of(lambda h: h * 1.0)[0]


def test_order_and_sources_make_the_wiring():
    both = (lambda h: h.relu().tanh()), (lambda h: h.tanh().relu())
    (first, one), (second, other) = map(made_of, both)
    assert first == second
    assert one != other
    # What reads from what, with the same operators in the same order.
    kept = made_of(lambda h: h.tanh() + h.exp())
    moved = made_of(lambda h: (t := h.tanh()) + t.exp())
    assert kept[0] == moved[0]
    assert kept[1] != moved[1]


def test_seeds_and_data_are_no_part_of_it():
    a, b = (started(seed=seed, batch=rows(seed + 5)) for seed in (0, 1))
    assert (a.before.operations, a.before.wiring) == (b.before.operations, b.before.wiring)
    assert a.after.operations == {}
    assert a.after.wiring == ""
