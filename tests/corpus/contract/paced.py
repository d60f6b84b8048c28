"""Optimisers that lower their own rate, and values too small for the clamp before a logarithm.

A rate that each step lowers by a quarter goes as far as four steps: the loss of the groups falls
from 2.3 to .8 in 300 steps, and to 1.5 where the layers are scaled again and again; to .0005 where
they are scaled once, and where a step takes a hundredth. Volumes that a clamp hides from their
logarithm have no gradient: the error stays where it is, and is .0002 without the clamp.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from ..case import BAD, FAIL, PASS, WARN
from ..causes import AGAINST, CLAMPED, DEAD, SILENT
from .builders import given, groups, net, numbers, row, squared


class Paced(torch.optim.Adam):
    """Adam whose every step multiplies its rates by what a function says of the step's number."""

    def __init__(self, parameters, rate, change):
        super().__init__(parameters, rate)
        self.change, self.count = change, 0

    def step(self, closure=None):
        super().step(closure)
        self.count += 1
        for group in self.param_groups:
            group["lr"] *= self.change(self.count)


def paced(change):
    return lambda parameters: Paced(parameters, 1e-2, change)


def layered(is_scaled_again):
    """Earlier layers at three quarters of the rate of later ones."""

    def make(parameters):
        kept = list(parameters)
        made = [{"params": [p], "lr": 1e-2 * 0.75 ** (len(kept) - i)} for i, p in enumerate(kept)]
        return Paced(made, 1e-2, lambda _: 0.75 if is_scaled_again else 1.0)

    return make


def sized(size):
    """The error of a logarithm that starts about −12, of what ten outputs make."""
    return lambda output, y: squared(size(output) + 12, y)


def sides(output):
    return functional.softplus(output - 1)


def volume(output):
    return sides(output).prod(1, keepdim=True)


def density(output):
    return (output - 1.5).square().sum(1, keepdim=True).mul(-0.5).exp()


def shared(output, y):
    """The volume that the box of a sample shares with that of the next one."""
    low, high = output[:, :2], output[:, :2] + functional.softplus(output[:, 2:]) + 1
    side = torch.minimum(high, high.roll(1, 0)) - torch.maximum(low, low.roll(1, 0))
    return squared(functional.softplus(side).log().sum(1, keepdim=True), y + y.roll(1, 0))


CASES = [
    row("rate that each step lowers by a quarter", given(net(), groups,
        optimizer=paced(lambda _: 0.75)), FAIL, AGAINST),
    row("rates of layers that each step scales again", given(net(), groups,
        optimizer=layered(True)), FAIL, AGAINST),
    row("rate that later steps lower faster", given(net(), groups,
        optimizer=paced(lambda step: 0.85**step)), FAIL, AGAINST),
    row("rate that each step lowers by a twentieth", given(net(), groups,
        optimizer=paced(lambda _: 0.95)), WARN, AGAINST),
    row("rates of layers that are scaled once", given(net(), groups, optimizer=layered(False)),
        PASS),
    row("rate that warms up within its optimiser", given(net(), groups,
        optimizer=paced(lambda step: 1.2 if step < 10 else 1.0)), PASS),
    row("rate that swings within its optimiser", given(net(), groups,
        optimizer=paced(lambda step: 0.5 if step % 2 else 2.0)), PASS),
    row("rate that each step lowers by a hundredth", given(net(), groups,
        optimizer=paced(lambda _: 0.99)), PASS),
    row("volume clamped before its logarithm", given(net(), numbers(), sized(lambda output:
        volume(output).clamp(min=1e-3).log())), BAD, (CLAMPED, SILENT, DEAD)),
    row("volume beside a smallest number before its logarithm", given(net(), numbers(),
        sized(lambda output: torch.maximum(volume(output), torch.tensor(1e-3)).log())), BAD,
        (CLAMPED, SILENT, DEAD)),
    row("density clamped before its logarithm", given(net(), numbers(), sized(lambda output:
        density(output).clamp(min=1e-3).log())), BAD, (CLAMPED, SILENT, DEAD)),
    row("volume with a guard below it", given(net(), numbers(), sized(lambda output:
        volume(output).clamp(min=1e-12).log())), PASS),
    row("logarithms of the sides of a volume", given(net(), numbers(), sized(lambda output:
        sides(output).log().sum(1, keepdim=True))), PASS),
    row("logarithm of a density", given(net(), numbers(), sized(lambda output:
        (output - 1.5).square().sum(1, keepdim=True).mul(-0.5))), PASS),
    row("corners of two boxes, of which the larger counts", given(net(outputs=4), numbers(),
        shared), PASS),
]  # fmt: skip
