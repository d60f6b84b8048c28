"""Scaling: what a wider or a deeper model does with the settings of a small one.

Two models are made wider, each in two ways: a network on handwritten digits, and a language model
on a line of text. In the standard parametrisation every layer starts alike at every width, but a
step of Adam changes a hidden layer the more the wider it is: a rate that was tuned on a narrow
model is too large for a wide one. In the maximal update parametrisation (muP) three rules set this
right:

1. input weights and biases keep their spread and their rate,
2. hidden weights are drawn with 1/√width, and their rate goes like 1/width,
3. the readout is drawn with 1/width, and so does its rate go.

What is measured is the exponent b in width^b, with its interval over seeds:

                             start    change of a hidden layer    change of the output
    standard, Adam            0        1                          1
    muP, Adam                 0 (output -1/2)   0                 0
    standard, SGD             0        1/2                        1

A third model is made deeper. Behind ReLU, weights of Glorot's rule halve the mean square in every
layer, those of He keep it.

The bad ones are meant to be bad: this suite fails when one of them is not found to be.
"""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pytest_initcheck import InitcheckFailure
from pytest_initcheck.data import load_mnist

WIDTHS = (64, 128, 256, 512)
BASE = 64
RATE = 1e-3
TEXT = "the wide model is meant to do what the narrow model does, and the deep what the flat does. "
LETTERS = sorted(set(TEXT))


@pytest.fixture(scope="module")
def digits():
    """Sixteen digits: few beside the widths, so that the exponents come close to their limits."""
    data = load_mnist()
    x = torch.as_tensor(data.train_images[:16]).reshape(16, -1)
    return x.float(), torch.as_tensor(data.train_labels[:16]).long()


@pytest.fixture(scope="module")
def text():
    """Pieces of the line, and their next letters."""
    ids = torch.tensor([LETTERS.index(letter) for letter in TEXT[:81]])
    return ids[:-1].reshape(8, 10), ids[1:].reshape(8, 10)


def adam(params):
    return torch.optim.Adam(params, lr=RATE)


def sgd(params):
    return torch.optim.SGD(params, lr=0.01)


# Handwritten digits


def standard(width):
    """Two hidden layers, drawn as He et al. say."""
    sizes = ((784, width), (width, width), (width, 10))
    first, second, readout = (nn.Linear(*size, bias=False) for size in sizes)
    for layer in (first, second, readout):
        nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), readout)


def mup(width):
    """The same with the readout of rule 3."""
    model = standard(width)
    nn.init.normal_(model[4].weight, std=BASE**0.5 / width)
    return model


def mup_adam(model):
    """The rates of the three rules."""
    scale = BASE / model[2].in_features
    return torch.optim.Adam(
        [
            {"params": model[0].parameters(), "lr": RATE},
            {"params": model[2].parameters(), "lr": RATE * scale},
            {"params": model[4].parameters(), "lr": RATE * scale},
        ]
    )


def test_the_standard_start_is_the_same_at_every_width(initcheck, digits):
    initcheck.assert_width_stable(standard, WIDTHS, digits, optimizer=adam, steps=1)


def test_but_a_step_of_adam_changes_a_wide_layer_more(initcheck, digits):
    found = initcheck.scaling(standard, WIDTHS, digits, optimizer=adam, steps=1)
    initcheck.picture("standard parametrisation, Adam", found.plot())
    assert found.exponent("2", "own change").value == pytest.approx(1, abs=0.1)
    with pytest.raises(InitcheckFailure, match="IC904"):
        initcheck.assert_width_stable(
            standard, WIDTHS, digits, optimizer=adam, steps=1, parametrization=None
        )


def test_and_a_step_of_sgd_by_half_as_much(initcheck, digits):
    found = initcheck.scaling(standard, WIDTHS, digits, optimizer=sgd, steps=1)
    assert found.exponent("2", "own change").value == pytest.approx(0.5, abs=0.15)


def test_under_mup_one_rate_serves_all_widths(initcheck, digits):
    found = initcheck.assert_width_stable(
        mup, WIDTHS, digits, optimizer=mup_adam, parametrization="mup"
    )
    initcheck.picture("muP, Adam", found.plot())
    assert found.exponent("2", "own change").value == pytest.approx(0, abs=0.1)
    assert found.exponent("4", "weight").value == pytest.approx(-0.5, abs=0.1)


@pytest.mark.parametrize("layer", [2, 4])
def test_a_rate_that_was_forgotten_is_found_with_its_layer(initcheck, digits, layer):
    def forgotten(model):
        optimizer = mup_adam(model)
        optimizer.param_groups[layer // 2]["lr"] = RATE
        return optimizer

    with pytest.raises(InitcheckFailure, match=f"layer '{layer}'"):
        initcheck.assert_width_stable(
            mup, WIDTHS, digits, optimizer=forgotten, steps=1, parametrization="mup"
        )


# A tiny language model


class Letters(nn.Module):
    """Attention and a block of two layers over embeddings; ``is_mup`` scales logits and readout."""

    def __init__(self, width, is_mup=True):
        super().__init__()
        self.scale = (BASE / 2) ** 0.5 / (width / 2) if is_mup else (width / 2) ** -0.5
        self.table, self.places = nn.Embedding(len(LETTERS), width), nn.Embedding(10, width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.readout = nn.Linear(width, len(LETTERS))
        for layer in (self.qkv, self.out, self.up, self.down):
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5)
        nn.init.normal_(self.readout.weight, std=BASE**0.5 / width if is_mup else width**-0.5)

    def forward(self, ids):
        x = self.table(ids) + self.places.weight
        heads = self.qkv(self.norms[0](x)).unflatten(-1, (3, 2, -1)).movedim((2, 3), (0, 2))
        made = functional.scaled_dot_product_attention(*heads, is_causal=True, scale=self.scale)
        x = x + self.out(made.transpose(1, 2).flatten(-2))
        x = x + self.down(functional.gelu(self.up(self.norms[1](x))))
        return self.readout(self.norms[2](x)).transpose(1, 2)


def letters_adam(model):
    """Rates in proportion to 1/width for whatever sums over the width, RATE for all else."""
    layers = (model.qkv, model.out, model.up, model.down, model.readout)
    scaled = [layer.weight for layer in layers]
    others = [p for p in model.parameters() if all(p is not weight for weight in scaled)]
    scale = BASE / model.out.in_features
    return torch.optim.Adam([{"params": others}, {"params": scaled, "lr": RATE * scale}], lr=RATE)


def test_a_language_model_under_mup(initcheck, text):
    found = initcheck.assert_width_stable(
        Letters, (64, 128, 256), text, optimizer=letters_adam, steps=2, parametrization="mup"
    )
    assert found.role("table") == "input"
    assert found.role("qkv") == "hidden"
    assert found.role("readout") == "output"


def test_a_language_model_with_one_rate_for_all(initcheck, text):
    with pytest.raises(InitcheckFailure, match="layer 'qkv'"):
        initcheck.assert_width_stable(
            Letters, (64, 128, 256), text, optimizer=adam, steps=1, parametrization="mup"
        )


# Depth


def deep(initialise):
    def build(depth):
        layers = [nn.Linear(784, 64, bias=False), nn.ReLU()]
        for _ in range(depth - 1):
            layers += [nn.Linear(64, 64, bias=False), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(64, 10, bias=False))
        for layer in model[::2]:
            initialise(layer.weight)
        return model

    return build


def test_he_reaches_any_depth(initcheck, digits):
    initcheck.assert_depth_stable(
        deep(nn.init.kaiming_normal_), (4, 8, 16, 32), digits, optimizer=sgd, steps=1
    )


def test_glorot_behind_relu_halves_the_mean_square_in_every_layer(initcheck, digits):
    found = initcheck.scaling(
        deep(nn.init.xavier_normal_), (4, 8, 16, 32), digits, optimizer=sgd, steps=1, seeds=5
    )
    assert found.exponent("(output)", "activation", 0).rate == pytest.approx(-0.5, abs=0.1)
    assert found.exponent("(input)", "gradient", 0).rate == pytest.approx(-0.5, abs=0.1)
    with pytest.raises(InitcheckFailure, match="IC905"):
        initcheck.assert_depth_stable(
            deep(nn.init.xavier_normal_), (4, 8, 16, 32), digits, optimizer=sgd, steps=1
        )
