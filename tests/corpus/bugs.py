"""Bugs that were reported against real code, and the neighbours of each that are sound."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn import functional

from .case import FAIL, PASS, WARN, Case, Start
from .causes import (
    BAD_WEIGHTS,
    COPIES,
    CUT,
    DEAD,
    FAN,
    LOCKED,
    LOSS,
    MEMORY,
    PADDING,
    PEAKED,
    RECTIFIED,
    STALE,
    TWINS,
    ZERO,
)
from .nets import classes, constant, mlp, pictures, sequences


def copied_encoder():
    """nn.TransformerEncoder deep-copies the layer that it is given."""
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    model = nn.Sequential(nn.TransformerEncoder(layer, 3), nn.Flatten(), nn.Linear(320, 4))
    return Start(model, sequences(32, 10, 16, 4))


class Tied(nn.Module):
    """A language model whose output layer is its embedding."""

    def __init__(self, sigma):
        super().__init__()
        self.embedding = nn.Embedding(1000, 128)
        nn.init.normal_(self.embedding.weight, 0, sigma)
        self.hidden = nn.Linear(128, 128)
        self.output = nn.Linear(128, 1000, bias=False)
        self.output.weight = self.embedding.weight

    def forward(self, ids):
        embedded = self.embedding(ids)
        return self.output(embedded + self.hidden(embedded))


def tied(sigma):
    def build():
        ids = torch.randint(0, 1000, (8, 16))
        return Start(Tied(sigma), (ids, torch.randint(0, 1000, (8, 16))))

    return build


class Adapted(nn.Module):
    """A frozen layer with a low-rank update B·A beside it."""

    def __init__(self, *, zero_a):
        super().__init__()
        self.base = nn.Linear(20, 20).requires_grad_(False)
        self.lora_a = nn.Linear(20, 4, bias=False)
        self.lora_b = nn.Linear(4, 20, bias=False)
        nn.init.zeros_(self.lora_b.weight)
        if zero_a:
            nn.init.zeros_(self.lora_a.weight)
        self.head = nn.Linear(20, 3)

    def forward(self, x):
        return self.head(functional.relu(self.base(x) + self.lora_b(self.lora_a(x))))


def adapted(*, zero_a):
    return lambda: Start(Adapted(zero_a=zero_a), classes())


def zero_convolutions(count):
    """Convolutions of which the last ``count`` are zero, before a drawn head."""

    def build():
        parts = [nn.Conv2d(1 if i == 0 else 4, 4, 3, padding=1) for i in range(3)]
        for part in parts[3 - count :]:
            constant(0.0)(part)
        head = nn.Sequential(nn.Flatten(), nn.Linear(4 * 14 * 14, 10))
        return Start(nn.Sequential(*parts, nn.AvgPool2d(2), *head), pictures())

    return build


def uninitialised(damage):
    """A model moved from the meta device without an initialiser; ``damage`` is what memory held."""

    def build():
        model = mlp(nn.ReLU, 20, 32, 32, 3)
        with torch.no_grad():
            damage(model)
        return Start(model, classes())

    return build


def nan_memory(model):
    model[2].weight.view(-1)[:3] = float("nan")


def huge_memory(model):
    model[2].weight.view(-1)[:5] = 1e37


def denormal_memory(model):
    for layer in (model[0], model[2]):
        layer.weight.copy_(torch.rand_like(layer.weight) * 1e-41)
        layer.bias.zero_()


def zero_memory(model):
    for parameter in model.parameters():
        parameter.zero_()


def swapped_norm():
    model = nn.Sequential(
        nn.Linear(20, 32),
        nn.LayerNorm(32),
        nn.ReLU(),
        nn.Linear(32, 32),
        nn.ReLU(),
        nn.Linear(32, 3),
    )
    nn.init.zeros_(model[1].weight)
    nn.init.ones_(model[1].bias)
    return Start(model, classes())


def hidden(change):
    """20-32-32-3 whose second hidden layer is changed."""

    def build():
        model = mlp(nn.ReLU, 20, 32, 32, 3)
        change(model[2])
        return Start(model, classes())

    return build


def pushed_down(layer):
    nn.init.constant_(layer.bias, -10)


def final_relu(*, dead):
    """10-16-1 that ends in a ReLU, in the sign in which it is dead or alive."""

    def build():
        model = mlp(nn.ReLU, 10, 16, 1, last=nn.ReLU())
        with torch.no_grad():
            model[2].weight.abs_().mul_(-1 if dead else 1)
            model[2].bias.fill_(-0.1 if dead else 0.1)
        return Start(model, (torch.randn(64, 10), torch.rand(64, 1)))

    return build


class Twin(nn.Module):
    """Two critics of which the second is a deepcopy of the first."""

    def __init__(self):
        super().__init__()
        self.first = mlp(nn.ReLU, 10, 16, 1)
        self.second = copy.deepcopy(self.first)

    def forward(self, x):
        return torch.cat([self.first(x), self.second(x)], 1)


def twins(*, same_loss):
    def build():
        targets = torch.randn(64, 2)
        if same_loss:
            targets = targets[:, :1].repeat(1, 2)
        return Start(Twin(), (torch.randn(64, 10), targets))

    return build


def depthwise():
    """A depthwise convolution by kaiming fan_out, which counts the channels of all groups."""
    narrow = nn.Conv2d(64, 64, 3, padding=1, groups=64)
    nn.init.kaiming_normal_(narrow.weight, mode="fan_out", nonlinearity="relu")
    model = nn.Sequential(
        nn.Conv2d(1, 64, 3, stride=4), nn.ReLU(), narrow, nn.ReLU(), nn.Conv2d(64, 64, 1),
        nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    return Start(model, pictures())


class Attention(nn.Module):
    """Single-head attention; ``scale`` divides the scores."""

    def __init__(self, scale):
        super().__init__()
        self.q, self.k, self.v = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 64)
        self.o = nn.Linear(64, 4)
        self.scale = scale
        for layer in (self.q, self.k):
            nn.init.normal_(layer.weight, 0, 1 / 8)

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / self.scale
        return self.o((torch.softmax(scores, -1) @ self.v(x)).mean(1))


def attention(scale):
    return lambda: Start(Attention(scale), sequences(64, 10, 16, 4))


def overwritten_norm():
    """An initialiser writes to ``weight``, which the old weight_norm computes anew each time."""
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    model[2] = nn.utils.weight_norm(model[2])
    nn.init.orthogonal_(model[2].weight)
    return Start(model, classes())


class Padded(nn.Module):
    def __init__(self, *, redrawn):
        super().__init__()
        self.embedding = nn.Embedding(50, 16, padding_idx=0)
        if redrawn:
            nn.init.normal_(self.embedding.weight)
        self.head = nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.embedding(ids).mean(1))


def padded(*, redrawn):
    def build():
        ids = torch.randint(1, 50, (32, 8))
        ids[:, 5:] = 0
        return Start(Padded(redrawn=redrawn), (ids, torch.randint(0, 3, (32,))))

    return build


def filled(value):
    """Every parameter, biases too, with one value."""

    def build():
        model = mlp(nn.ReLU, 20, 32, 32, 3)
        for parameter in model.parameters():
            nn.init.constant_(parameter, value)
        return Start(model, classes())

    return build


CASES = [
    Case("bug 1 copied encoder layers", copied_encoder, WARN, (COPIES,)),
    Case("bug 2 tied embedding N(0, 1)", tied(1.0), FAIL, (LOSS,)),
    Case("bug 2 tied embedding N(0, .02²)", tied(0.02), PASS),
    Case("bug 3 LoRA with A and B zero", adapted(zero_a=True), FAIL, (ZERO,),
         ("lora_a", "lora_b")),
    Case("bug 3 LoRA with B zero", adapted(zero_a=False), PASS),
    Case("bug 4 two zero convolutions", zero_convolutions(2), FAIL, (ZERO,), ("1", "2")),
    Case("bug 4 one zero convolution", zero_convolutions(1), PASS),
    Case("bug 5 memory of NaN", uninitialised(nan_memory), FAIL, (BAD_WEIGHTS,), ("2",)),
    Case("bug 5 memory of 1e37", uninitialised(huge_memory), FAIL, (MEMORY,), ("2",)),
    Case("bug 5 memory of denormals", uninitialised(denormal_memory), FAIL, (MEMORY,), ("0", "2")),
    Case("bug 5 memory of zeros", uninitialised(zero_memory), FAIL, (ZERO,)),
    Case("bug 6 weight and bias of a LayerNorm swapped", swapped_norm, FAIL, (CUT,), ("1",)),
    Case("bug 7 zero linear before a ReLU", hidden(constant(0.0)), FAIL, (ZERO, DEAD), ("2",)),
    Case("bug 8 bias -10", hidden(pushed_down), FAIL, (DEAD,), ("2",)),
    Case("bug 9 dead final ReLU", final_relu(dead=True), FAIL, (DEAD,), ("2",)),
    Case("bug 9 final ReLU", final_relu(dead=False), WARN, (RECTIFIED,)),
    Case("bug 10 twins with one loss", twins(same_loss=True), FAIL, (TWINS,),
         ("first.0", "first.2", "second.0")),
    Case("bug 10 twins with two losses", twins(same_loss=False), WARN, (COPIES,)),
    Case("bug 12 unscaled attention", attention(1.0), WARN, (PEAKED,)),
    Case("bug 12 scaled attention", attention(8.0), PASS),
    Case("bug 13 init overwritten by weight_norm", overwritten_norm, WARN, (STALE,), ("2",)),
    Case("bug 14 padding row redrawn", padded(redrawn=True), WARN, (PADDING,), ("embedding",)),
    Case("bug 14 padding row kept", padded(redrawn=False), PASS),
    Case("bug 15 uniform fill .5", filled(0.5), FAIL, (LOCKED,), ("0",)),
    Case("bug 15 uniform fill .01", filled(0.01), FAIL, (LOCKED,), ("0",)),
    Case("bug 15 uniform fill 1", filled(1.0), FAIL, (LOCKED, LOSS)),
    Case("bug 11 depthwise by fan_out", depthwise, WARN, (FAN,), ("2",)),
]  # fmt: skip
