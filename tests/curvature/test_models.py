"""Real layers: the ends of the spectrum against the exact Hessian, and what is put back."""

from __future__ import annotations

import copy
import functools
import random

import pytest
import torch
from support.curvature import exact, point_of
from torch import nn
from torch.nn import functional

from pytest_initcheck.curvature import critical_point

LABELS = torch.arange(12) % 3


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.cells, self.head = kind(3, 4, num_layers=2, batch_first=True), nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.cells(x)[0][:, -1])


class Attention(nn.Module):
    def __init__(self, dropout=0.1):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 12, dropout=dropout, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class Words(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table, self.head = table, nn.Linear(4, 3)

    def forward(self, x):
        found = self.table(x)
        return self.head(torch.tanh(found if found.dim() == 2 else found.mean(1)))


def words():
    return torch.randint(0, 7, (12, 4))


def image():
    return torch.randn(12, 1, 6, 6)


MODELS = {
    "linear": lambda: (nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)), (12, 5)),
    "relu": lambda: (nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), (12, 5)),
    "layer norm": lambda: (nn.Sequential(nn.Linear(5, 6), nn.LayerNorm(6), nn.GELU()), (12, 5)),
    "convolution": lambda: (
        nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.SiLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3)
        ),
        (12, 1, 6, 6),
    ),
    "batch norm": lambda: (
        nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Tanh(), nn.Flatten(), nn.Linear(48, 3)
        ),
        (12, 1, 6, 6),
    ),
    "lstm": lambda: (Recurrent(nn.LSTM), (12, 5, 3)),
    "gru": lambda: (Recurrent(nn.GRU), (12, 5, 3)),
    "attention": lambda: (Attention(), (12, 5, 8)),
}


def check_ends(point, values, slack=1e-14):
    for end, value in ((point.smallest, values[0]), (point.largest, values[-1])):
        assert abs(end.value - float(value)) <= end.error + slack
    assert point.smallest.bound <= float(values[0]) + point.smallest.error + slack
    assert point.largest.bound >= float(values[-1]) - point.largest.error - slack


def drawn(name):
    """A model with inputs and labels, in single precision; the same at every call."""
    torch.manual_seed(0)
    model, shape = MODELS[name]()
    return model, torch.randn(shape), torch.arange(12) % (6 if name == "layer norm" else 3)


@functools.cache
def exact_values(name):
    model, inputs, labels = drawn(name)
    return exact(
        model.double(), inputs.double(), lambda out: functional.cross_entropy(out, labels)
    )[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", MODELS)
def test_the_ends_are_those_of_the_exact_hessian(name, dtype):
    model, inputs, labels = drawn(name)
    point = critical_point(model.to(dtype), (inputs.to(dtype), labels))
    assert point.method == "double backward"
    values = exact_values(name)
    check_ends(point, values)
    assert point.rounding < 1e-5 * max(abs(float(values[0])), float(values[-1]))


@pytest.mark.parametrize("table", [nn.Embedding(9, 4), nn.Embedding(9, 4, sparse=True)])
def test_tables_sparse_or_not(table):
    model, inputs = Words(table), words()
    point = critical_point(model, (inputs, LABELS))
    assert point.method == "double backward"
    dense = Words(nn.Embedding(9, 4))
    dense.load_state_dict(model.state_dict())
    values, _ = exact(dense.double(), inputs, lambda out: functional.cross_entropy(out, LABELS))
    check_ends(point, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_finite_differences_where_autograd_fails(dtype):
    """The backward pass of EmbeddingBag has no derivative."""
    bag, inputs = nn.EmbeddingBag(9, 4), words()
    model = Words(bag).to(dtype)
    point = critical_point(model, (inputs, LABELS))
    assert point.method == "finite differences"
    same = Words(nn.Embedding(9, 4)).double()
    same.load_state_dict(model.state_dict())
    # The mean of the rows before the nonlinearity, as the bag takes it.
    same.forward = lambda x: same.head(torch.tanh(same.table(x).mean(1)))
    values, _ = exact(same, inputs, lambda out: functional.cross_entropy(out, LABELS))
    check_ends(point, values)
    assert point.largest.error < 1e-2 * point.largest.value


def test_frozen_parameters_are_left_out():
    model = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3))
    model[0].requires_grad_(False)
    inputs = torch.randn(12, 5)
    point = critical_point(model, (inputs, LABELS))
    assert point.parameters == 21
    loss = functional.cross_entropy
    values, _ = exact(copy.deepcopy(model).double(), inputs.double(), lambda o: loss(o, LABELS))
    check_ends(point, values)
    # The last layer alone is convex.
    assert point.smallest.value >= -point.rounding


def test_tied_parameters_count_once():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(1, 1, bias=False)
            self.second = self.first
            nn.init.zeros_(self.first.weight)

        def forward(self, x):
            return self.second(self.first(x))

    batch = torch.ones(4, 1), torch.ones(4, 1)
    point = critical_point(Tied(), batch)
    # (w² − 1)² has curvature −4 at 0.
    assert (point.kind, point.parameters) == ("maximum", 1)
    assert point.smallest.value == pytest.approx(-4)


def test_parameters_that_the_loss_does_not_reach():
    class Unused(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(2, 1), nn.Linear(50, 50)

        def forward(self, x):
            return self.used(x)

    point = critical_point(Unused(), (torch.randn(8, 2), torch.randn(8, 1)))
    assert point.parameters == 3 + 2550
    assert abs(point.smallest.value) <= point.rounding < point.largest.value


def test_complex_parameters_are_two_reals_each():
    class Complex(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(torch.zeros(2, dtype=torch.complex64))

        def forward(self, _):
            real, imaginary = self.w.real, self.w.imag
            return (3 * real.square() - imaginary.square()).sum() / 2

    point = critical_point(Complex(), torch.zeros(1), forward=lambda m, b: m(b))
    assert (point.kind, point.parameters) == ("saddle", 2)
    assert (point.smallest.value, point.largest.value) == pytest.approx((-1, 3))


def test_second_derivatives_that_are_not_finite():
    """The slope of |w|^1.5 is finite at 0, its curvature is not."""
    point = point_of(lambda w: (w.abs() ** 1.5).sum() + (w**2).sum(), [0.0, 0.0])
    assert point.method == "finite differences"
    assert point.kind == "minimum"


def test_dropout_is_passed_through():
    model = nn.Sequential(nn.Linear(5, 6), nn.Dropout(0.5), nn.Tanh(), nn.Linear(6, 3))
    batches = [(model, torch.randn(12, 5)), (Attention(0.5), torch.randn(12, 5, 8))]
    for net, inputs in batches:
        points = []
        for seed in range(2):
            torch.manual_seed(seed)
            points.append(critical_point(net, (inputs, LABELS)))
        assert points[0] == points[1]


def state(model):
    tensors = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    grads = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    return tensors, grads, model.training


@pytest.mark.parametrize("kind", ["batch norm", "bag"])
def test_everything_is_put_back(kind):
    model = MODELS["batch norm"]()[0] if kind == "batch norm" else Words(nn.EmbeddingBag(9, 4))
    inputs = image() if kind == "batch norm" else words()
    functional.cross_entropy(model(inputs), LABELS).backward()
    model.eval()
    before = state(model)
    torch.manual_seed(5)
    random.seed(5)
    expected = torch.rand(3), random.random()
    torch.manual_seed(5)
    random.seed(5)
    critical_point(model, (inputs, LABELS), steps=3)
    assert torch.equal(torch.rand(3), expected[0])
    assert random.random() == expected[1]
    after = state(model)
    for name, tensor in before[0].items():
        assert torch.equal(tensor, after[0][name]), name
    for old, new in zip(before[1], after[1], strict=True):
        assert (old is None and new is None) or torch.equal(old, new)
    assert not model.training


def test_the_same_seed_gives_the_same_point():
    torch.manual_seed(0)
    model, inputs = (
        nn.Sequential(nn.Linear(30, 20), nn.Tanh(), nn.Linear(20, 3)),
        torch.randn(12, 30),
    )
    first, again, other = (
        critical_point(model, (inputs, LABELS), steps=6, seed=seed) for seed in (0, 0, 1)
    )
    assert first == again
    assert first.smallest.value != other.smallest.value
    assert first.steps == 6
