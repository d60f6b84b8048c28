"""Ways to scale residual branches by the depth, and the same without; see docs/scaling.md."""

from __future__ import annotations

import pytest
import torch
from sizes.models import CLASSES
from torch import Tensor, nn

from pytest_initcheck import scaling
from pytest_initcheck.sizes.judge_depth import judge_depth

SIZE, DEPTHS = 32, (4, 8, 16, 32)


class Stack(nn.Module):
    """Residual blocks of two layers: x goes to [norm of] ``skip`` x + ``branch`` F(x)."""

    def __init__(self, depth, *, skip=1.0, branch=1.0, gains=(2**0.5, 1.0), norm=False, gate=None):
        super().__init__()
        self.skip, self.branch = skip, branch
        self.inputs = nn.Linear(SIZE, SIZE, bias=False)
        self.ups, self.downs = (
            nn.ModuleList(nn.Linear(SIZE, SIZE, bias=False) for _ in range(depth)) for _ in range(2)
        )
        self.norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in range(depth)) if norm else None
        self.gates = None if gate is None else nn.Parameter(torch.full((depth,), gate))
        self.readout = nn.Linear(SIZE, CLASSES, bias=False)
        for layers, gain in ((self.ups, gains[0]), (self.downs, gains[1])):
            for layer in layers:
                nn.init.normal_(layer.weight, std=gain / SIZE**0.5)
        for layer in (self.inputs, self.readout):
            nn.init.normal_(layer.weight, std=SIZE**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.inputs(x)
        for place, (up, down) in enumerate(zip(self.ups, self.downs, strict=True)):
            made = self.branch * down(torch.relu(up(x)))
            made = made if self.gates is None else self.gates[place] * made
            x = self.skip * x + made
            x = x if self.norms is None else self.norms[place](x)
        return self.readout(x)


def sgd(params):
    return torch.optim.SGD(params, lr=1e-3)


def adam(power):
    """Rates of the blocks in proportion to depth^power, of the others fixed."""

    def steps(model):
        blocks = [*model.ups.parameters(), *model.downs.parameters()]
        others = [*model.inputs.parameters(), *model.readout.parameters()]
        rate = 1e-4 * len(model.ups) ** power
        groups = [{"params": blocks, "lr": rate}, {"params": others, "lr": 1e-4}]
        return torch.optim.Adam(groups)

    return steps


def deep_norm(depth):
    """DeepNet's α and β for an encoder of as many sublayers: N layers have 2N."""
    scale = (4 * depth) ** -0.25
    return Stack(depth, skip=depth**0.25, gains=(2**0.5 * scale, scale), norm=True)


def post_norm(depth):
    return Stack(depth, norm=True)


def fixup(depth):
    """Branches of m = 2 layers: the first times depth^(-1/(2m-2)), the last at zero."""
    return Stack(depth, gains=(2**0.5 * depth**-0.5, 0.0))


def only_zero(depth):
    return Stack(depth, gains=(2**0.5, 0.0))


def shared_out(depth):
    """Each branch times 1/√depth."""
    return Stack(depth, branch=depth**-0.5)


def plain(depth):
    return Stack(depth)


def rezero(depth):
    return Stack(depth, gate=0.0)


def measured(factory, optimizer):
    x = torch.randn(16, SIZE, generator=torch.Generator().manual_seed(1))
    batch = x, torch.arange(16) % CLASSES
    return scaling(factory, DEPTHS, batch, optimizer=optimizer, steps=1, seeds=6)


def exponents(found):
    places = (("(output)", "activation", 0), ("(input)", "gradient", 0), ("(output)", "change", 1))
    return [found.exponent(*place) for place in places]


@pytest.mark.parametrize(
    ("factory", "optimizer"),
    [(deep_norm, sgd), (fixup, sgd), (rezero, sgd), (shared_out, sgd), (shared_out, adam(-0.5))],
    ids=["DeepNet", "Fixup", "ReZero", "depth-muP, SGD", "depth-muP, Adam"],
)
def test_branches_that_are_scaled_by_the_depth_let_one_rate_serve_all(factory, optimizer):
    found = measured(factory, optimizer)
    assert judge_depth(found, transfers=True) == []
    spread, gradient, change = exponents(found)
    assert max(abs(spread.value), abs(gradient.value)) < 0.15
    # What adds up at random has ½. The share of the blocks in all change still grows here.
    assert abs(change.value) < 0.3


@pytest.mark.parametrize(
    ("factory", "optimizer", "expected"),
    [
        # Each block moves the output by one amount.
        (post_norm, sgd, 1.0),
        (only_zero, sgd, 1.0),
        # Adam moves each by depth^-½, whatever the gradient is.
        (shared_out, adam(0), 0.5),
    ],
    ids=["DeepNet", "Fixup", "depth-muP, Adam"],
)
def test_their_twins_without_the_rule_change_more_the_deeper_they_are(factory, optimizer, expected):
    found = measured(factory, optimizer)
    (told,) = judge_depth(found, transfers=True)
    assert "change of the output" in told.quantity
    assert found.exponent("(output)", "change").value == pytest.approx(expected, abs=0.15)
    # What adds up is no fault where no transfer is claimed.
    assert judge_depth(found) == []


def test_what_is_not_scaled_multiplies():
    told = {finding.quantity for finding in judge_depth(measured(plain, sgd))}
    assert any("activation of the output" in quantity for quantity in told)
    assert any("gradient at the first layer" in quantity for quantity in told)
