"""Factories whose models come to their values in as many ways as there are, sound and faulty."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.utils import parametrizations


class Net(nn.Module):
    """Two layers; what a subclass does to them comes after."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.first = nn.Linear(8, width)
        self.last = nn.Linear(width, 4)
        self.build()

    def build(self) -> None:
        pass

    def forward(self, x):
        return self.last(self.first(x).relu())


class General(Net):
    """One rule for all weights."""

    def build(self):
        self.apply(self.general)

    def general(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)


class GeneralThenScaled(General):
    """GPT-2's order: all weights alike, then those that write to the stream."""

    def build(self):
        super().build()
        nn.init.normal_(self.last.weight, std=0.02 / math.sqrt(24))


class ScaledThenGeneral(General):
    """The order in which the scaling is lost."""

    def build(self):
        nn.init.normal_(self.last.weight, std=0.02 / math.sqrt(24))
        super().build()


class GeneralAndParticular(Net):
    """One function, layer by layer: a rule for all, then another for one of them."""

    def build(self):
        self.middle = nn.Linear(16, 16)
        self.apply(self.draw)

    def draw(self, module):
        if isinstance(module, nn.Linear) and module is not self.middle:
            nn.init.normal_(module.weight, std=0.02)
        for layer, std in ((self.first, 0.1), (self.middle, 0.2), (self.last, 0.3)):
            if module is layer:
                nn.init.trunc_normal_(module.weight, std=std)


class Scale(Net):
    """A gain that nobody writes to, as a norm's after ``to_empty``."""

    def build(self):
        self.gain = nn.Parameter(torch.empty(8))

    def forward(self, x):
        return super().forward(x * self.gain)


class ScaleReset(Scale):
    """The same, with an initialisation of its own."""

    def build(self):
        super().build()
        self.reset_parameters()

    def reset_parameters(self):
        nn.init.ones_(self.gain)


class Rotary(Net):
    """Frequencies in a buffer that is not saved, and that ``reset_parameters`` forgets."""

    def build(self):
        self.register_buffer("frequencies", self.made(), persistent=False)

    @staticmethod
    def made():
        return 1.0 / 100.0 ** (torch.arange(0, 8, 2).float() / 8)


class RotaryReset(Rotary):
    def reset_parameters(self):
        self.frequencies.copy_(self.made())


class Normed(Net):
    """Drawn into what the parametrisation computes."""

    def build(self):
        self.last = parametrizations.weight_norm(self.last)
        nn.init.normal_(self.last.weight, std=0.3)


class Copied(Net):
    """Drawn into a copy."""

    def build(self):
        nn.init.normal_(self.last.weight.detach().clone(), std=0.3)


class CopiedBack(Net):
    """Drawn into a copy that goes back."""

    def build(self):
        drawn = self.last.weight.detach().clone()
        nn.init.orthogonal_(drawn)
        with torch.no_grad():
            self.last.weight.copy_(drawn)


class Half(Net):
    """Of a stacked weight only the first part is drawn."""

    def build(self):
        self.stacked = nn.Parameter(torch.empty(24, 8))
        nn.init.xavier_uniform_(self.stacked[:8])


class Thirds(Half):
    """Every part of it is drawn."""

    def build(self):
        super().build()
        for row in (8, 16):
            nn.init.xavier_uniform_(self.stacked[row : row + 8])


class Tied(Net):
    """A head that is the embedding."""

    def build(self):
        self.embedding = nn.Embedding(4, 16)
        self.last.weight = self.embedding.weight


def emptied() -> nn.Module:
    """Built on meta, given memory, and left at that."""
    with torch.device("meta"):
        model = Net()
    return model.to_empty(device="cpu")


def reset() -> nn.Module:
    """The same, with every module's own initialisation."""
    model = emptied()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    return model
