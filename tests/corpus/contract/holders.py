"""Optimisers that hold the wrong tensors, spoil the right ones, or leave all ground at once."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from ..case import BAD, FAIL, MILD, PASS, Start
from ..causes import (
    ALIKE,
    BLOWN,
    DEAD,
    LEFT,
    RECTIFIED,
    SILENT,
    SPOILED,
    STILL,
    STUCK,
    SUM,
    TARGETS,
    UNHELD,
)
from ..nets import adam, sgd
from ..unusual.builders import Model
from .builders import given, groups, mapped, net, numbers, row, signs, squared
from .unbounded import hinged, triples

HELD = UNHELD, LEFT, STILL


class Normalised(torch.optim.SGD):
    """Steps of one length per tensor."""

    def __init__(self, parameters, rate, eps):
        super().__init__(parameters, rate)
        self.eps = eps

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.data.sub_(group["lr"] * p.grad / (p.grad.norm() + self.eps))


def words():
    """An embedding of which the batch uses a half."""
    return nn.Sequential(nn.Embedding(100, 16), nn.Flatten(), nn.Linear(96, 3))


def used():
    ids = torch.randint(0, 50, (32, 6))
    return ids, ids[:, 0] % 3


def halved(dtype=torch.half):
    """Weights and data of sixteen bits."""

    def make():
        return net()().to(dtype)

    def data():
        x, y = groups()
        return x.to(dtype), y

    return make, data


def zero_head():
    model = net()()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    return model


def after(change, optimizer=torch.optim.SGD, rate=0.1, make=None):
    """An optimiser that is built before ``change(model)``, which may return another model."""

    def build():
        model = (make or net())()
        held = list(model.parameters())
        model = change(model) or model
        return Start(model, groups(), {"optimizer": lambda _: optimizer(held, rate)})

    return build


def holding(which, make=None, **options):
    """An optimiser of the tensors that ``which(model)`` lists."""

    def build():
        model = (make or net())()
        return Start(model, groups(), {"optimizer": lambda _: torch.optim.Adam(which(model), 1e-3),
                                       **options})  # fmt: skip

    return build


def new_head(model):
    model[2] = nn.Linear(64, 10)


def all_new(model):
    return net()()


def normed(model):
    parametrizations.weight_norm(model[0])
    parametrizations.weight_norm(model[2])


def freeze(model):
    model[0].requires_grad_(False)


def frozen():
    model = net()()
    freeze(model)
    return model


def bit_fit():
    """Only biases are trained."""
    model = net()()
    model[0].weight.requires_grad_(False)
    model[2].weight.requires_grad_(False)
    return model


def rival():
    return Model(None, generator=net(nn.Tanh, 20)(), judge=net(None, 1)())


def fool(m, b):
    """A generator's step."""
    return functional.softplus(-m.judge(m.generator(b[0]))).mean()


def groups_of(model, *rates):
    return [{"params": part.parameters(), "lr": rate} for part, rate in zip(model[::2], rates,
            strict=True)]  # fmt: skip


def weights(model):
    return [p for name, p in model.named_parameters() if name.endswith("weight")]


def decayed(model):
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    return [{"params": weights(model), "weight_decay": 0.01}, {"params": biases}]


def mean_teacher():
    body = net()()
    return Model(lambda m, x: m.body(x), body=body, teacher=copy.deepcopy(body))


def hinge(output, y):
    return functional.relu(1 - y * output).mean()


def hundred(output, target):
    return (output - target).square().sum()


def far():
    x, y = signs()
    return 3 * x, y


FIVES = mapped(numbers(), lambda y: 5 + y.tanh())
BITS = mapped(numbers(), lambda y: (y > 0).float())
half, half_data = halved()
brain, brain_data = halved(torch.bfloat16)


def momentum_free(eps):
    return lambda p: torch.optim.Adam(p, 1e-3, eps=eps)


CASES = [
    # The loss of this batch goes on to .02: the NaN sits in the rows that another batch reads.
    row("Adam without eps on unused rows", given(words, used, optimizer=momentum_free(0.0)), FAIL,
        SPOILED),
    row("Adam on unused rows", given(words, used, optimizer=adam(1e-2)), PASS),
    row("Adam's eps of 1e-8 in half precision", given(half, half_data, optimizer=adam(1e-3)), FAIL,
        SPOILED),
    row("Adam's eps of 1e-8 in bfloat16", given(brain, brain_data, optimizer=adam(1e-3)), PASS),
    row("RMSprop without eps behind a zero head", given(zero_head, groups,
        optimizer=lambda p: torch.optim.RMSprop(p, 1e-3, eps=0.0)), FAIL, SPOILED),
    row("RMSprop behind a zero head", given(zero_head, groups,
        optimizer=lambda p: torch.optim.RMSprop(p, 1e-3)), PASS),
    row("steps divided by a norm of zero", given(zero_head, groups,
        optimizer=lambda p: Normalised(p, 0.05, 0.0)), FAIL, SPOILED),
    row("steps divided by a norm", given(zero_head, groups,
        optimizer=lambda p: Normalised(p, 0.05, 1e-8)), PASS),
    row("optimiser of another model", after(all_new), FAIL, HELD),
    row("optimiser of the copied model", after(copy.deepcopy, torch.optim.Adam, 1e-3), FAIL, HELD),
    row("head replaced after the optimiser", after(new_head), BAD, HELD),
    row("weight norm after the optimiser", after(normed), BAD, HELD),
    row("every parameter frozen", given(lambda: net()().requires_grad_(False), groups), FAIL,
        (UNHELD, SILENT, STILL)),
    row("optimiser of the frozen body", holding(lambda m: list(m[0].parameters()), frozen), FAIL,
        HELD),
    row("optimiser of the head on a frozen body", holding(lambda m: list(m[2].parameters()),
        frozen), PASS),
    row("every rate is 0", holding(lambda m: groups_of(m, 0.0, 0.0)), FAIL, HELD),
    row("rate of the body is 0", holding(lambda m: groups_of(m, 0.0, 1e-3)), BAD, LEFT),
    row("rate of the body is a tenth", holding(lambda m: groups_of(m, 1e-4, 1e-3)), PASS),
    row("head not in the optimiser", holding(lambda m: list(m[0].parameters())), BAD, LEFT),
    row("biases not in the optimiser", holding(weights), BAD, LEFT),
    row("biases without decay", holding(decayed), PASS),
    row("only biases trained", given(bit_fit, groups, optimizer=adam(1e-2)), PASS),
    row("judge's optimiser in the generator's step", holding(lambda m: list(m.judge.parameters()),
        rival, forward=fool), BAD, (UNHELD, LEFT)),
    row("generator's optimiser in its step", holding(lambda m: list(m.generator.parameters()),
        rival, forward=fool), MILD, LEFT),
    row("teacher not in the optimiser", holding(lambda m: list(m.body.parameters()), mean_teacher),
        MILD, LEFT),
    # The first step leaves every sample where the output has no slope: the loss repeats exactly.
    row("rate of 1 before an output ReLU", given(net(nn.ReLU, 1), FIVES, squared,
        optimizer=sgd(1.0)), FAIL, (STUCK, BLOWN, DEAD, ALIKE, RECTIFIED)),
    row("sum before an output ReLU", given(net(nn.ReLU, 1), FIVES, hundred, optimizer=sgd(0.01)),
        FAIL, (STUCK, BLOWN, DEAD, ALIKE, SUM, RECTIFIED)),
    row("softplus for targets of five", given(net(nn.Softplus, 1), FIVES, squared,
        optimizer=sgd(0.03)), PASS),
    row("rate of 3000 before a sigmoid", given(net(nn.Sigmoid, 1), BITS, squared,
        optimizer=sgd(3000.0)), FAIL, (STUCK, BLOWN, DEAD, STILL)),
    row("rate of .3 before a sigmoid", given(net(nn.Sigmoid, 1), BITS, squared,
        optimizer=sgd(0.3)), PASS),
    row("Adam of rate 100 before a hard sigmoid", given(net(nn.Hardsigmoid, 1), BITS, squared,
        optimizer=adam(100.0)), FAIL, (STUCK, BLOWN, DEAD)),
    row("hard sigmoid", given(net(nn.Hardsigmoid, 1), BITS, squared), PASS),
    row("rate of 10 before a clamp", given(net(lambda s: s.clamp(0, 10), 1), FIVES, squared,
        optimizer=sgd(10.0)), FAIL, (STUCK, BLOWN, DEAD, ALIKE, TARGETS, RECTIFIED)),
    row("hinge that is satisfied", given(net(None, 1), far, hinge, optimizer=sgd(0.5)), PASS),
    row("margin that is satisfied", given(net(None, 16), triples, forward=hinged,
        optimizer=adam(1e-2)), PASS),
    row("LBFGS", given(net(), groups, optimizer=lambda p: torch.optim.LBFGS(p, 0.1)), PASS),
]  # fmt: skip
