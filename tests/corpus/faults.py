"""Faults that people made in training scripts, and the same scripts put right."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from .case import BAD, FAIL, MILD, PASS, Case, Start
from .causes import (
    BAD_GRADIENTS,
    BAD_LOSS,
    BLOWN,
    DEAD,
    INPUTS,
    LOCKED,
    LOSS,
    ONE_SOFTMAX,
    OVERFLOW,
    PEAKED,
    RECTIFIED,
    SUM,
    TARGETS,
    VANISHED,
)
from .nets import (
    adam,
    blobs,
    cnn,
    constant,
    digits,
    each,
    glorot,
    he,
    he_uniform,
    mlp,
    normal,
    pictures,
    sgd,
    uniform,
)


def digits_cnn(initialise, *, scale=1.0, act=nn.ReLU, last=None, rate=0.1, **sizes):
    """The CNN on digits; ``scale`` multiplies the pixels."""

    def build():
        model = each(cnn(act, **sizes), initialise)
        if last is not None:
            model.append(last)
        images, targets = pictures()
        return Start(model, (images * scale, targets), {"optimizer": sgd(rate)})

    return build


def digits_mlp(act, sizes, initialise, optimizer, loss_fn=None):
    """An MLP on digits."""

    def build():
        model = mlp(act, 784, *sizes, 10)
        if initialise:
            each(model, initialise)
        options = {"optimizer": optimizer, "loss_fn": loss_fn}
        return Start(model, digits(64), options)

    return build


def truncated(layer):
    nn.init.trunc_normal_(layer.weight, 0, 0.1)
    nn.init.constant_(layer.bias, 0.1)


def parabola(rate):
    """y = 5x² on [-3, 3]."""

    def build():
        x = torch.linspace(-3, 3, 64)[:, None]
        return Start(mlp(nn.ReLU, 1, 50, 30, 1), (x, 5 * x**2), {"optimizer": sgd(rate)})

    return build


def small_sigmoids():
    model = each(mlp(nn.Sigmoid, 8, 8, 8, 8), normal(0.05))
    return Start(model, (torch.randn(64, 8), torch.randn(64, 8)), {"optimizer": sgd(0.01)})


def binary(sizes, last, *, features, loss_fn, act=nn.ReLU):
    """Yes or no from normal features."""

    def build():
        x = torch.randn(64, features)
        targets = (x[:, :1] > 0).float()
        return Start(mlp(act, features, *sizes, 1, last=last()), (x, targets), {"loss_fn": loss_fn})

    return build


def clamped_bce(output, targets):
    return functional.binary_cross_entropy(output.clamp(0, 1), targets)


def xor():
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
    model = mlp(nn.Sigmoid, 2, 3, 1, last=nn.Softmax(-1))
    return Start(model, (x, y), {"loss_fn": nn.MSELoss()})


def dead_chain():
    """31-1-1, all ReLU, in the sign in which nothing is active."""
    model = mlp(nn.ReLU, 31, 1, 1, last=nn.ReLU())
    nn.init.uniform_(model[2].weight, -1, -0.1)
    nn.init.uniform_(model[2].bias, -1, -0.1)
    x = torch.randn(64, 31)
    return Start(model, (x, (x[:, :1] > 0).float()), {"loss_fn": nn.MSELoss()})


def prices():
    """Inputs in [50, 2000] and targets in [600, 4000], as they came from the table."""
    batch = 50 + 1950 * torch.rand(64, 10), 600 + 3400 * torch.rand(64, 1)
    return Start(mlp(nn.ReLU, 10, 16, 16, 16, 16, 1), batch, {"optimizer": adam(1e-4)})


class Exp(nn.Module):
    def forward(self, x):
        return torch.exp(x)


def two_features(act, sizes, initialise, *, scale=1.0):
    def build():
        x, y = blobs()
        return Start(each(mlp(act, 2, *sizes, 2), initialise), (x * scale, y))

    return build


def lenet(extra):
    """LeNet with ``extra`` sigmoid layers between its dense ones."""

    def build():
        inserted = [part for _ in range(extra) for part in (nn.Linear(120, 120), nn.Sigmoid())]
        model = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), *inserted,
            nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )  # fmt: skip
        return Start(model, pictures())

    return build


TOTAL = nn.CrossEntropyLoss(reduction="sum")
BCE = nn.BCELoss()
# Where the cause lies in the width, the sizes are those that the fault was reported with.
REAL = {"channels": (32, 64), "dense": 1024}
CASES = [
    Case("fault 1 every kernel .01", digits_cnn(constant(0.01)), FAIL, (LOCKED,), ("0",)),
    Case("fault 2 N(0, .1)", digits_cnn(normal(0.1, bias=False), **REAL), FAIL,
         (LOSS, BLOWN)),
    Case("fault 3 pixels to 255", digits_cnn(he, scale=255.0), FAIL, (INPUTS,), ("0",)),
    Case("fault 4 pixels divided twice", digits_cnn(he, scale=1 / 255), FAIL, (INPUTS,), ("0",)),
    Case("fault 5 softmax as hidden activation", digits_cnn(he, act=lambda: nn.Softmax(1), **REAL),
         FAIL, (*VANISHED, PEAKED), ("0", "1", "3", "4", "7", "8", "9")),
    Case("fault 6 He", digits_cnn(he), PASS),
    Case("fault 7 N(0, 1) in three layers",
         digits_mlp(nn.ReLU, (500, 500, 500), normal(1), adam(0.003)), FAIL,
         (LOSS,), ("0", "2", "4", "6")),
    Case("fault 8 linear and N(0, 1)",
         digits_mlp(nn.Identity, (256, 256), normal(1), adam(0.1)), FAIL,
         (LOSS,), ("0", "2", "4")),
    Case("fault 8 ReLU and He", digits_mlp(nn.ReLU, (256, 256), he, adam(0.001)), PASS),
    Case("fault 9 ReLU on the logits", digits_cnn(truncated, last=nn.ReLU()), BAD,
         (RECTIFIED, DEAD)),
    Case("fault 10 sum over N(0, 1)",
         digits_mlp(nn.ReLU, (128,), normal(1), sgd(0.01), TOTAL), FAIL, (SUM, LOSS)),
    Case("fault 11 zero logistic regression",
         digits_mlp(nn.ReLU, (), constant(0.0), sgd(0.1)), PASS),
    Case("fault 12 rate .1", parabola(0.1), FAIL, (BLOWN,)),
    Case("fault 12 rate .001", parabola(0.001), PASS),
    Case("fault 13 small sigmoids", small_sigmoids, FAIL, VANISHED),
    Case("fault 14 softmax over one unit",
         binary((50,), lambda: nn.Softmax(-1), features=128, loss_fn=BCE), FAIL, (ONE_SOFTMAX,)),
    Case("fault 15 XOR by softmax over one unit", xor, FAIL, (ONE_SOFTMAX,)),
    Case("fault 16 output ReLU with BCE",
         binary((512, 200, 200, 200, 128), nn.ReLU, features=34, loss_fn=clamped_bce), BAD,
         (RECTIFIED, DEAD)),
    Case("fault 16 output sigmoid",
         binary((512, 200, 200, 200, 128), nn.Sigmoid, features=34, loss_fn=BCE), PASS),
    Case("fault 17 dead 31-1-1", dead_chain, FAIL, (DEAD,), ("2",)),
    Case("fault 18 five sigmoid layers",
         digits_mlp(nn.Sigmoid, (8, 16, 32, 64, 128), None, adam(1e-3)), FAIL,
         VANISHED),
    Case("fault 18 five ReLU layers",
         digits_mlp(nn.ReLU, (8, 16, 32, 64, 128), None, adam(1e-3)), PASS),
    Case("fault 19 three sigmoid layers, ±.05",
         two_features(nn.Sigmoid, (20, 20, 20), uniform(0.05)), FAIL, VANISHED),
    Case("fault 19 tanh by Glorot", two_features(nn.Tanh, (20, 20, 20), glorot), PASS),
    Case("fault 20 raw prices", prices, FAIL, (INPUTS, TARGETS)),
    Case("fault 21 eleven sigmoid layers",
         two_features(nn.Sigmoid, (5,) * 11, he_uniform), FAIL, VANISHED),
    Case("fault 22 nine layers of exp", two_features(Exp, (5,) * 9, he_uniform), FAIL,
         (OVERFLOW, BAD_LOSS, BAD_GRADIENTS)),
    Case("fault 23 five tanh layers", two_features(nn.Tanh, (5,) * 5, he_uniform), PASS),
    Case("fault 23 inputs times 100",
         two_features(nn.Tanh, (5,) * 5, he_uniform, scale=100.0), FAIL, (INPUTS,), ("0",)),
    Case("fault 24 eight sigmoid layers in LeNet", lenet(8), FAIL, VANISHED),
    Case("fault 24 LeNet", lenet(0), PASS),
    Case("fault 25 rate .001",
         digits_mlp(nn.ReLU, (256, 256), he, sgd(0.001)), MILD),
]  # fmt: skip
