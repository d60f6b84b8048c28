"""Memory that nobody wrote to, and draws that went elsewhere."""

from __future__ import annotations

import copy
import warnings

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from ..case import FAIL, PASS, WARN
from ..causes import TEMPORARY, UNWRITTEN
from ..nets import sequences
from .builders import from_meta, recorded, row, stack


class ScaledBlock(nn.Module):
    """Layer norm scaling (allenai/OLMo-core #698): the scale is a buffer of the constructor."""

    def __init__(self, index, width=32):
        super().__init__()
        self.norm, self.inner = nn.LayerNorm(width), nn.Linear(width, width)
        self.register_buffer("scale", torch.tensor((1.0 + index) ** -0.5))

    def forward(self, x):
        return x + self.inner(torch.relu(self.norm(x) * self.scale))


class Scaled(nn.Module):
    """A stack of such blocks, with the initialisation of all its layers."""

    def __init__(self, *, with_buffers):
        super().__init__()
        self.with_buffers = with_buffers
        self.embed, self.head = nn.Linear(20, 32), nn.Linear(32, 3)
        self.blocks = nn.ModuleList(ScaledBlock(index) for index in range(3))

    def init_weights(self):
        for module in self.modules():
            if isinstance(module, (nn.Linear, nn.LayerNorm)):
                module.reset_parameters()
        if self.with_buffers:
            for index, block in enumerate(self.blocks):
                block.scale.fill_((1.0 + index) ** -0.5)

    def forward(self, x):
        x = self.embed(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def scaled(*, with_buffers):
    return recorded(from_meta(lambda: Scaled(with_buffers=with_buffers), Scaled.init_weights))


class Rotary(nn.Module):
    """Attention with rotary positions (PrimeIntellect-ai/prime-rl #2953): the frequencies are a
    buffer that is not saved, and of which nobody thinks after ``to_empty``."""

    def __init__(self, width=16):
        super().__init__()
        self.embed = nn.Linear(20, width)
        self.qkv, self.head = nn.Linear(width, 3 * width), nn.Linear(width, 3)
        self.register_buffer("inv_freq", self.frequencies(width), persistent=False)

    @staticmethod
    def frequencies(width):
        return 1.0 / 1e4 ** (torch.arange(0, width, 2) / width)

    def init_weights(self, *, with_frequencies):
        for module in (self.embed, self.qkv, self.head):
            module.reset_parameters()
        if with_frequencies:
            self.inv_freq.copy_(self.frequencies(16))

    def turned(self, x):
        angles = torch.outer(torch.arange(x.shape[1]).float(), self.inv_freq)
        first, second = x.chunk(2, -1)
        cos, sin = angles.cos(), angles.sin()
        return torch.cat([first * cos - second * sin, first * sin + second * cos], -1)

    def forward(self, x):
        q, k, v = self.qkv(self.embed(x)).chunk(3, -1)
        mixed = functional.scaled_dot_product_attention(self.turned(q), self.turned(k), v)
        return self.head(mixed.mean(1))


def rotary(*, with_frequencies):
    def initialise(model):
        model.init_weights(with_frequencies=with_frequencies)

    return recorded(from_meta(Rotary, initialise), lambda: sequences(20, 12, 16, 3))


def with_a_new_head(*, is_drawn):
    """A checkpoint without a head (huggingface/transformers #34234): what it misses is left as
    ``to_empty`` made it."""

    def initialise(model):
        known = stack(20, 32, 3).state_dict()
        kept = {name: value for name, value in known.items() if not name.startswith("2.")}
        missing = model.load_state_dict(kept, strict=False).missing_keys
        assert missing == ["2.weight", "2.bias"]
        if is_drawn:
            model[2].reset_parameters()

    return recorded(from_meta(lambda: stack(20, 32, 3), initialise))


def normed(*, is_late):
    """Drawn through a weight norm (pytorch/pytorch #180968, huggingface/transformers #44575)."""

    def factory():
        model = stack(20, 32, 32, 3)
        if not is_late:
            nn.init.orthogonal_(model[2].weight)
        model[2] = parametrizations.weight_norm(model[2])
        if is_late:
            nn.init.orthogonal_(model[2].weight)
        return model

    return recorded(factory)


def drawn_thrice():
    """Each of three modules around it initialises all that is in it (transformers #17877)."""
    model = stack(20, 32, 3)
    for _ in range(3):
        for layer in (model[0], model[2]):
            nn.init.normal_(layer.weight, std=0.2)
    return model


def half_a_stack(*, parts):
    """One weight for three projections, of which an initialiser draws some."""

    class Stacked(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.head = nn.Parameter(torch.empty(48, 20)), nn.Linear(16, 3)
            for place in range(parts):
                nn.init.xavier_uniform_(self.qkv[16 * place : 16 * place + 16])

        def forward(self, x):
            q, k, v = functional.linear(x, self.qkv).chunk(3, -1)
            return self.head(torch.relu(q * torch.sigmoid(k) + v))

    return recorded(Stacked)


def copied():
    warnings.simplefilter("ignore")
    layer = nn.Linear(20, 32)
    nn.init.kaiming_normal_(layer.weight)
    return nn.Sequential(copy.deepcopy(layer), nn.ReLU(), nn.Linear(32, 3))


CASES = [
    row("OLMo-core 698", scaled(with_buffers=False), FAIL, UNWRITTEN, "blocks.0"),
    row("OLMo-core 698, repaired", scaled(with_buffers=True), PASS),
    row("prime-rl 2953", rotary(with_frequencies=False), FAIL, UNWRITTEN),
    row("prime-rl 2953, repaired", rotary(with_frequencies=True), PASS),
    row("transformers 34234", with_a_new_head(is_drawn=False), FAIL, UNWRITTEN, "2"),
    row("transformers 34234, repaired", with_a_new_head(is_drawn=True), PASS),
    row("pytorch 180968", normed(is_late=True), WARN, TEMPORARY),
    row("pytorch 180968, repaired", normed(is_late=False), PASS),
    row("transformers 17877", recorded(drawn_thrice), PASS),
    row("a part of a stack", half_a_stack(parts=2), FAIL, UNWRITTEN, "qkv"),
    row("all of a stack", half_a_stack(parts=3), PASS),
    row("a copy of a layer", recorded(copied), PASS),
]
