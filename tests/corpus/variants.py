"""The same causes in other architectures: convolutional, recurrent, attention, residual."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .case import BAD, FAIL, PASS, Case, Start
from .causes import (
    BAD_WEIGHTS,
    DEAD,
    EXPLODING,
    FLAT,
    INPUTS,
    LARGE,
    LOCKED,
    LOSS,
    PEAKED,
    SILENT,
    VANISHED,
    ZERO,
)
from .nets import (
    Reader,
    Residual,
    built,
    classes,
    cnn,
    constant,
    each,
    mlp,
    normal,
    pictures,
    sequences,
    tokens,
)


def recurrent(kind, change=None, *, layers=1, scale=1.0):
    def data():
        x, y = sequences()
        return x * scale, y

    return built(lambda: Reader(kind, 16, layers, features=20), change, data)


def filled(value):
    """One value for every parameter."""
    return lambda model: [parameter.fill_(value) for parameter in model.parameters()]


def drawn(sigma):
    return lambda model: [nn.init.normal_(part, 0, sigma) for part in model.body.parameters()]


class Encoder(nn.Module):
    """Two Transformer layers over token ids."""

    def __init__(self, change=None):
        super().__init__()
        self.embedding = nn.Embedding(50, 32)
        self.first = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.second = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, 3)
        if change:
            change(self)

    def forward(self, ids):
        return self.head(self.second(self.first(self.embedding(ids))).mean(1))


def encoder(change=None):
    return lambda: Start(Encoder(change), tokens())


def constant_feedforward(model):
    for layer in (model.first.linear1, model.first.linear2):
        constant(0.05)(layer)


def zero_feedforward(model):
    for layer in (model.second.linear1, model.second.linear2):
        constant(0.0)(layer)


def wide_attention(model):
    nn.init.normal_(model.first.self_attn.in_proj_weight, 0, 3)


def nan_embedding(model):
    with torch.no_grad():
        model.embedding.weight[:, 3] = float("nan")


def changed_cnn(change, *, scale=1.0, act=nn.ReLU):
    def build():
        model = cnn(act)
        change(model)
        images, targets = pictures()
        return Start(model, (images * scale, targets))

    return build


def sunk(index, value=-20.0):
    return lambda model: nn.init.constant_(model[index].bias, value)


def residual(change=None):
    return built(lambda: Residual(4, functional.relu, kinds=3), change)


def constant_branches(model):
    """Both layers of every branch of one value."""
    each(model.up, constant(0.1))
    each(model.down, constant(0.1))


class Functional(nn.Module):
    """An MLP without any activation module, of ``depth`` hidden layers of ``width``."""

    def __init__(self, act, depth, width=20):
        super().__init__()
        self.hidden = nn.ModuleList(nn.Linear(20 if i == 0 else width, width) for i in range(depth))
        self.out = nn.Linear(width, 3)
        self.act = act

    def forward(self, x):
        for layer in self.hidden:
            x = self.act(layer(x))
        return self.out(x)


def plain(act, depth, initialise=None, *, scale=1.0, width=20):
    def build():
        model = Functional(act, depth, width)
        if initialise:
            each(model.hidden, initialise)
        x, y = classes()
        return Start(model, (x * scale, y))

    return build


class Cut(nn.Module):
    """The head reads the body through detach."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(20, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.head(torch.relu(self.body(x)).detach())


def twin_channels():
    """A convolution whose kernels are all equal, and so are those that read it."""
    model = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.Tanh(), nn.Conv2d(6, 4, 3), nn.Tanh(),
        nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    with torch.no_grad():
        model[0].weight.copy_(model[0].weight[:1].expand_as(model[0].weight))
        model[0].bias.zero_()
        model[2].weight.copy_(model[2].weight[:, :1].expand_as(model[2].weight))
    return Start(model, pictures())


def pair():
    """Two of sixteen units are equal, in and out; the others are drawn."""
    model = mlp(nn.Tanh, 20, 16, 3)
    with torch.no_grad():
        model[0].weight[5] = model[0].weight[2]
        model[0].bias[5] = model[0].bias[2]
        model[2].weight[:, 5] = model[2].weight[:, 2]
    return Start(model, classes())


CASES = [
    Case("variant CNN of zeros", changed_cnn(lambda m: each(m, constant(0.0))), FAIL, (ZERO,)),
    Case("variant CNN with two constant layers",
         changed_cnn(lambda m: each(m[:4], constant(0.05))), FAIL, (LOCKED,), ("0",)),
    Case("variant CNN whose second convolution is dead", changed_cnn(sunk(3)), FAIL,
         (DEAD,), ("3",)),
    Case("variant CNN whose dense layer is dead", changed_cnn(sunk(7)), FAIL, (DEAD,), ("7",)),
    Case("variant CNN of tanh with N(0, 3)",
         changed_cnn(lambda m: each(m, normal(3)), act=nn.Tanh), FAIL, (FLAT, LOSS)),
    Case("variant CNN of tanh on pixels times 255",
         changed_cnn(lambda m: m, scale=255.0, act=nn.Tanh), BAD, (INPUTS,), ("0",)),
    Case("variant equal kernels", twin_channels, FAIL, (LOCKED,), ("0",)),
    Case("variant two equal units of sixteen", pair, FAIL, (LOCKED,), ("0",)),
    Case("variant LSTM filled with .1", recurrent("LSTM", filled(0.1)), FAIL, (LOCKED,), ("body",)),
    Case("variant GRU filled with .1", recurrent("GRU", filled(0.1)), FAIL, (LOCKED,), ("body",)),
    Case("variant RNN filled with .1", recurrent("RNN", filled(0.1)), FAIL, (LOCKED,), ("body",)),
    Case("variant two LSTM layers of zeros", recurrent("LSTM", filled(0.0), layers=2), FAIL,
         (ZERO, LOCKED), ("body", "head")),
    Case("variant RNN by N(0, 3)", recurrent("RNN", drawn(3.0)), FAIL,
         (FLAT, EXPLODING), ("body",)),
    Case("variant LSTM by N(0, 5)", recurrent("LSTM", drawn(5.0)), FAIL, (FLAT,), ("body",)),
    Case("variant LSTM on inputs times 1000", recurrent("LSTM", scale=1000.0), FAIL,
         (INPUTS,), ("body",)),
    Case("variant LSTM", recurrent("LSTM"), PASS),
    Case("variant constant feed-forward", encoder(constant_feedforward), FAIL, (LOCKED,),
         ("first.linear1",)),
    Case("variant zero feed-forward", encoder(zero_feedforward), FAIL, (ZERO,),
         ("second.linear1", "second.linear2")),
    Case("variant wide attention", encoder(wide_attention), BAD, (PEAKED,)),
    Case("variant NaN in an embedding", encoder(nan_embedding), FAIL, (BAD_WEIGHTS,),
         ("embedding",)),
    Case("variant Transformer", encoder(), PASS),
    Case("variant constant residual branches", residual(constant_branches), FAIL, (LOCKED,),
         ("up.0",)),
    Case("variant residual branches", residual(), PASS),
    Case("variant functional tanh by N(0, 5)", plain(torch.tanh, 2, normal(5)), FAIL,
         (FLAT,), ("hidden.0",)),
    Case("variant hardtanh by N(0, 10)", plain(functional.hardtanh, 2, normal(10)), FAIL,
         (FLAT,), ("hidden.0",)),
    Case("variant softsign by N(0, 10)", plain(functional.softsign, 2, normal(10)), FAIL,
         (FLAT,), ("hidden.0",)),
    Case("variant functional tanh", plain(torch.tanh, 2), PASS),
    Case("variant softsign", plain(functional.softsign, 2), PASS),
    Case("variant twelve functional sigmoids", plain(torch.sigmoid, 12), FAIL,
         VANISHED, ("hidden.5", "hidden.6", "hidden.7", "hidden.8", "hidden.9",
                              "hidden.0", "hidden.1", "hidden.2", "hidden.3", "hidden.4")),
    Case("variant ReLU on inputs times 1000", plain(torch.relu, 2, scale=1000.0), FAIL,
         (INPUTS,), ("hidden.0",)),
    Case("variant GELU on inputs over 1000", plain(functional.gelu, 2, scale=0.001), FAIL,
         (INPUTS,), ("hidden.0",)),
    Case("variant ReLU by N(0, 1) in four layers", plain(torch.relu, 4, normal(1), width=128),
         FAIL, LARGE),
    Case("variant detached body", lambda: Start(Cut(), classes()), FAIL, (SILENT,),
         ("body",)),
]  # fmt: skip
