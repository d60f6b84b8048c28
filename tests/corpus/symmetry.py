"""Constant weights: what training separates, and what it never does."""

from __future__ import annotations

from torch import nn

from .case import BAD, FAIL, MILD, PASS, Case, Start
from .causes import DEAD, LOCKED, LOSS, SIGNAL, ZERO
from .nets import adam, classes, constant, each, he, layers, mlp


def constants(act, chosen, value, optimizer, *, bias=True):
    """20-32-32-5 whose ``chosen`` layers have one value for all weights."""

    def build():
        model = mlp(act, 20, 32, 32, 5)
        for index in chosen:
            nn.init.constant_(layers(model)[index].weight, value)
            if bias:
                nn.init.zeros_(layers(model)[index].bias)
        return Start(model, classes(20, 5, 128), {"optimizer": optimizer})

    return build


def rows(act, optimizer, label):
    def case(text, chosen, value, verdicts, causes=(), where=(), **options):
        build = constants(act, chosen, value, optimizer, **options)
        name = f"symmetry {act.__name__} {label}: {text}"
        return Case(name, build, verdicts, causes, where)

    dies = act is nn.ReLU
    zero = (FAIL, (ZERO, DEAD)) if dies else (MILD, ())
    return [
        case("default", (), 0.0, PASS),
        case("second hidden layer .01", (1,), 0.01, MILD),
        case("first hidden layer .01", (0,), 0.01, MILD),
        case("second hidden layer 0", (1,), 0.0, *zero, ("2",)),
        case("first hidden layer 0", (0,), 0.0, *zero, ("0",)),
        case("second hidden layer 0, drawn bias", (1,), 0.0, MILD, bias=False),
        case("output layer .01", (2,), 0.01, PASS),
        case("output layer 1", (2,), 1.0, PASS),
        case("output layer 0", (2,), 0.0, PASS),
        case("both hidden layers .01", (0, 1), 0.01, FAIL, (LOCKED,), ("0",)),
        case("second hidden and output layer .01", (1, 2), 0.01, FAIL, (LOCKED,), ("2",)),
        case("all layers .01", (0, 1, 2), 0.01, FAIL, (LOCKED,), ("0",)),
        case("all layers 1", (0, 1, 2), 1.0, FAIL, (LOCKED, LOSS), ("0", "4")),
        case("all layers 0", (0, 1, 2), 0.0, FAIL, (ZERO,), ("0", "2", "4")),
    ]


def dropped():
    """All weights equal, with dropout, which separates units only slowly."""
    model = each(mlp(nn.ReLU, 20, 32, 32, 5), constant(0.1))
    model.insert(2, nn.Dropout(0.5))
    return Start(model, classes(20, 5, 128))


def deep(depth, initialise=None):
    def build():
        model = mlp(nn.ReLU, 20, *[256] * depth, 5)
        return Start(each(model, initialise) if initialise else model, classes(20, 5, 64))

    return build


CASES = [
    *rows(nn.ReLU, None, "SGD"),
    *rows(nn.Tanh, None, "SGD"),
    *rows(nn.ReLU, adam(1e-2), "Adam"),
    *rows(nn.Tanh, adam(1e-2), "Adam"),
    Case("symmetry all equal, with dropout", dropped, FAIL, (LOCKED,), ("0",)),
    Case("symmetry depth 2 by default", deep(2), PASS),
    Case("symmetry depth 10 by default", deep(10), BAD, (SIGNAL,)),
    Case("symmetry depth 30 by default", deep(30), FAIL, (SIGNAL,)),
    Case("symmetry depth 30 by He", deep(30, he), PASS),
]
