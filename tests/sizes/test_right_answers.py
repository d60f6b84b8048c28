"""What theory says of a start, as docs/scaling.md derives it, against what is measured."""

import math

import pytest
import torch
from sizes.models import BASE, CLASSES, INPUTS, adam, batch, mlp, mup_adam, mup_mlp, mup_sgd
from torch import nn
from torch.nn import functional

from pytest_initcheck import scaling

WIDTHS = (64, 128, 256, 512)
DEPTHS = (4, 8, 16, 32)
SIZE = 48


def sgd(params):
    return torch.optim.SGD(params, lr=0.01)


def near(exponent, expected, within=0.1):
    return abs(exponent.value - expected) < within


@pytest.mark.parametrize(
    ("factory", "optimizer", "changes", "output"),
    [
        # A step of Adam is one size everywhere: fan_in terms of one sign.
        (mlp, adam, (0, 1, 1, 1), 0),
        # The gradient comes through a readout of width^-½.
        (mlp, sgd, (-0.5, 0.5, 0.5, 1), 0),
        (mup_mlp, mup_adam, (0, 0, 0, 0), -0.5),
        (mup_mlp, mup_sgd, (0, 0, 0, 0), -0.5),
    ],
    ids=["standard adam", "standard sgd", "mup adam", "mup sgd"],
)
def test_changes_and_outputs_have_the_exponents_of_the_theory(factory, optimizer, changes, output):
    found = scaling(factory, WIDTHS, batch(4), optimizer=optimizer, steps=1, seeds=5)
    assert [found.role(layer) for layer in found.layers] == ["input", "hidden", "hidden", "output"]
    for layer, change in zip(found.layers, changes, strict=True):
        assert near(found.exponent(layer, "own change", 1), change), layer
    for layer in found.layers[:-1]:
        assert near(found.exponent(layer, "activation", 0), 0), layer
    assert near(found.exponent(found.layers[-1], "weight"), output)
    assert near(found.exponent("(output)", "activation", 0), output, 0.15)


def test_the_change_of_hidden_layers_grows_with_the_width_and_not_under_mup():
    standard = scaling(mlp, WIDTHS, batch(4), optimizer=adam, steps=1, seeds=3)
    mup = scaling(mup_mlp, WIDTHS, batch(4), optimizer=mup_adam, steps=1, seeds=3)
    for layer in ("2", "4"):
        assert near(standard.exponent(layer, "change"), 1, 0.15)
        assert near(mup.exponent(layer, "change"), 0)


class Ntk(nn.Module):
    """Weights of unit variance, divided where they are used."""

    def __init__(self, width):
        super().__init__()
        shapes = ((width, INPUTS), (width, width), (CLASSES, width))
        self.weights = nn.ParameterList(torch.randn(shape) for shape in shapes)

    def forward(self, x):
        first, second, last = (weight / weight.shape[1] ** 0.5 for weight in self.weights)
        x = functional.relu(x @ first.t())
        return functional.relu(2**0.5 * (x @ second.t())) @ last.t()


def test_features_stand_still_and_the_output_learns_in_the_ntk():
    found = scaling(Ntk, WIDTHS, batch(4), optimizer=sgd, steps=1, seeds=5)
    first, second, last = (found.exponent(layer, "own change") for layer in found.layers)
    assert near(first, -0.5)
    assert near(second, -0.5, 0.15)
    assert near(last, 0, 0.15)


def deep(gain):
    def build(depth):
        model = nn.Sequential(
            *(
                part
                for _ in range(depth)
                for part in (nn.Linear(SIZE, SIZE, bias=False), nn.ReLU())
            ),
            nn.Linear(SIZE, CLASSES, bias=False),
        )
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=gain / SIZE**0.5)
        return model

    return build


def wide_batch():
    x = torch.randn(16, SIZE, generator=torch.Generator().manual_seed(1))
    return x, torch.arange(16) % CLASSES


def start(factory):
    return scaling(factory, DEPTHS, wide_batch(), optimizer=sgd, steps=1, seeds=4)


def test_xavier_on_relu_halves_the_square_in_every_layer_and_he_keeps_it():
    xavier, he = start(deep(1.0)), start(deep(math.sqrt(2)))
    for layer, quantity in (("(output)", "activation"), ("(input)", "gradient")):
        # 2^(-depth/2), and chance takes another 5/4 Σ 1/fan_in of the logarithm.
        drift = 1.25 / SIZE / math.log(2)
        assert xavier.exponent(layer, quantity, 0).rate == pytest.approx(-0.5 - drift / 2, abs=0.06)
        assert abs(he.exponent(layer, quantity, 0).rate) < 2 * drift
    assert xavier.exponent("(output)", "activation", 0).high < -2


class Blocks(nn.Module):
    """Residual blocks: normalised before ("pre") or after ("post") the branch, or not at all."""

    def __init__(self, depth, norm, gate=None):
        super().__init__()
        self.norm, self.inputs = norm, nn.Linear(SIZE, SIZE, bias=False)
        self.blocks = nn.ModuleList(self.branch() for _ in range(depth - 1))
        self.last, self.readout = self.branch(), nn.Linear(SIZE, CLASSES, bias=False)
        self.norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in range(depth + 1))
        self.gates = None if gate is None else nn.Parameter(torch.full((depth,), gate))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=SIZE**-0.5)

    @staticmethod
    def branch():
        up, down = nn.Linear(SIZE, SIZE, bias=False), nn.Linear(SIZE, SIZE, bias=False)
        return nn.Sequential(up, nn.ReLU(), down)

    def forward(self, x):
        x = self.inputs(x)
        for at, block in enumerate([*self.blocks, self.last]):
            made = 2**0.5 * block(self.norms[at](x) if self.norm == "pre" else x)
            x = x + (made if self.gates is None else self.gates[at] * made)
            x = self.norms[at](x) if self.norm == "post" else x
        return self.readout(self.norms[-1](x) if self.norm == "pre" else x)


def test_the_last_gradient_falls_with_the_depth_under_pre_norm_and_not_under_post_norm():
    # Xiong et al. (2020), theorem 1.
    pre, post = (start(lambda depth, n=n: Blocks(depth, n)) for n in ("pre", "post"))
    assert near(pre.exponent("last.0", "gradient", 0), -0.5, 0.12)
    assert near(post.exponent("last.0", "gradient", 0), 0, 0.12)
    for found in (pre, post):
        assert near(found.exponent("(output)", "activation", 0), 0, 0.25)


def test_without_a_norm_every_block_doubles_the_square_unless_a_gate_is_shut():
    plain = start(lambda depth: Blocks(depth, "none"))
    gated = start(lambda depth: Blocks(depth, "none", gate=0.0))
    assert plain.exponent("(output)", "activation", 0).rate == pytest.approx(0.5, abs=0.1)
    assert plain.exponent("(input)", "gradient", 0).rate == pytest.approx(0.5, abs=0.1)
    for layer, quantity in (("(output)", "activation"), ("(input)", "gradient")):
        assert near(gated.exponent(layer, quantity, 0), 0)


def test_a_rate_for_base_is_the_same_at_base():
    groups = mup_adam(mup_mlp(BASE)).param_groups
    assert len({group["lr"] for group in groups}) == 1
