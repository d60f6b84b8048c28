"""Objectives and models whose critical points are known."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from pytest_initcheck.curvature import critical_point
from pytest_initcheck.curvature.smooth import smooth

NOTHING = torch.zeros(1)


class Objective(nn.Module):
    """A function of one parameter vector w, whatever the batch."""

    def __init__(self, function, w, dtype=torch.float32):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(w, dtype=dtype))
        self.function = function

    def forward(self, _):
        return self.function(self.w)


def own(model, batch):
    return model(batch)


def point_of(function, w, dtype=torch.float32, **options):
    return critical_point(Objective(function, w, dtype), NOTHING, forward=own, **options)


def exact(model, inputs, loss):
    """All eigenvalues of the Hessian of loss(model(inputs)), ascending, and their vectors."""
    known = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    sizes = [p.numel() for _, p in known]

    def value(flat):
        parts = zip(known, flat.split(sizes), strict=True)
        weights = {name: part.view_as(p) for (name, p), part in parts}
        with smooth(model):
            return loss(functional_call(model, weights, (inputs,)))

    flat = torch.cat([p.detach().reshape(-1) for _, p in known])
    return torch.linalg.eigh(torch.autograd.functional.hessian(value, flat))


def descend(model, batch, loss_fn, steps=300):
    """Train on the whole batch until the gradient is rounding."""
    options = {"line_search_fn": "strong_wolfe", "tolerance_grad": 1e-10, "tolerance_change": 0}
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=steps, **options)

    def evaluate():
        optimizer.zero_grad()
        loss = loss_fn(model(batch[0]), batch[1])
        loss.backward()
        return loss

    optimizer.step(evaluate)
    return model


class OneTwoOne(nn.Module):
    """A sigmoid network of two hidden units, all weights 1 and all biases 0."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(1, 2), nn.Linear(2, 1)
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, float("weight" in name))

    def forward(self, x):
        return torch.sigmoid(self.second(torch.sigmoid(self.first(x))))


def bump():
    """x from −20 to 19; y is 1 where −4 < x < 4."""
    x = torch.arange(-20.0, 20.0)[:, None]
    return x, ((x > -4) & (x < 4)).float()


def binary(outputs, targets):
    return -(targets * outputs.log() + (1 - targets) * (1 - outputs).log()).mean()


def stalled():
    """The equal network after a thousand steps on the whole batch."""
    model, (x, y) = OneTwoOne(), bump()
    optimizer = torch.optim.Adam(model.parameters(), 0.05)
    for _ in range(1000):
        optimizer.zero_grad()
        binary(model(x), y).backward()
        optimizer.step()
    return model, (x, y)
