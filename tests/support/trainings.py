"""Trainings as people write them, each a function of a model and its data, for `watch`."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint


def batches(shape, count, kinds=3, size=16):
    """Always the same inputs and labels."""
    stream = torch.Generator().manual_seed(5)
    return [
        (
            torch.randn(size, *shape, generator=stream),
            torch.randint(kinds, (size,), generator=stream),
        )
        for _ in range(count)
    ]


def plain(model, optimizer, data):
    """Forward, loss, backward, step."""
    for inputs, labels in data:
        optimizer.zero_grad()
        functional.cross_entropy(model(inputs), labels).backward()
        optimizer.step()


def accumulating(model, optimizer, data):
    """Two batches for each step."""
    for place, (inputs, labels) in enumerate(data):
        (functional.cross_entropy(model(inputs), labels) / 2).backward()
        if place % 2:
            optimizer.step()
            optimizer.zero_grad()


def evaluating(model, optimizer, data):
    """An evaluation before every step, once as it should be and once with gradients."""
    for inputs, labels in data:
        model.eval()
        with torch.no_grad():
            model(inputs)
        model(inputs).sum()
        model.train()
        plain(model, optimizer, [(inputs, labels)])


def twice(model, optimizer, data):
    """Two passes for one loss."""
    for inputs, _ in data:
        optimizer.zero_grad()
        (model(inputs) - model(inputs + 1)).square().mean().backward()
        optimizer.step()


def autocast(model, optimizer, data):
    """bfloat16 where torch says so."""
    for inputs, labels in data:
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = functional.cross_entropy(model(inputs), labels)
        loss.backward()
        optimizer.step()


def scaled(model, optimizer, data, scaler=None):
    """With a scaler, and clipping of what it has scaled back."""
    scaler = scaler or torch.amp.GradScaler("cpu", init_scale=1024.0)
    for inputs, labels in data:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(inputs), labels)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()


def with_closure(model, optimizer, data):
    """As LBFGS wants it."""
    for inputs, labels in data:

        def closure(inputs=inputs, labels=labels):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(inputs), labels)
            loss.backward()
            return loss

        optimizer.step(closure)


def penalised(model, optimizer, data):
    """With a penalty on the gradient by the inputs, whose backward pass goes twice."""
    for inputs, labels in data:
        optimizer.zero_grad()
        inputs = inputs.clone().requires_grad_()
        loss = functional.cross_entropy(model(inputs), labels)
        (slope,) = torch.autograd.grad(loss, inputs, create_graph=True)
        (loss + slope.square().sum()).backward()
        optimizer.step()


def mlp():
    """Two hidden layers."""
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))


class Residual(nn.Module):
    """Convolutions with batch normalisation, and a sum."""

    def __init__(self):
        super().__init__()
        self.stem, self.body = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.first, self.second, self.head = nn.BatchNorm2d(4), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        x = torch.relu(self.first(self.stem(x)))
        return self.head(torch.relu_(self.second(self.body(x)) + x).mean((2, 3)))


class Attention(nn.Module):
    """A layer of a transformer with dropout."""

    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(1))


class Recurrent(nn.Module):
    """An LSTM of two layers with dropout between them."""

    def __init__(self):
        super().__init__()
        self.body = nn.LSTM(4, 8, 2, batch_first=True, dropout=0.3)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class Checkpointed(nn.Module):
    """A middle that runs again in the backward pass."""

    def __init__(self, *, is_reentrant):
        super().__init__()
        self.first, self.head = nn.Linear(6, 16), nn.Linear(16, 3)
        self.body = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 16))
        self.is_reentrant = is_reentrant

    def forward(self, x):
        x = checkpoint(self.body, torch.relu(self.first(x)), use_reentrant=self.is_reentrant)
        return self.head(x)
