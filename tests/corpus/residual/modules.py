"""Small language models and stacks whose blocks write to a residual stream."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

VOCABULARY, LENGTH, WIDTH, BLOCKS = 24, 8, 32, 4


class Attention(nn.Module):
    def __init__(self, width, heads=2):
        super().__init__()
        self.heads = heads
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)

    def forward(self, x):
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
                   for part in self.c_attn(x).chunk(3, -1))  # fmt: skip
        out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(out.transpose(1, 2).flatten(2))


class Mlp(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.c_fc = nn.Linear(width, 4 * width)
        self.c_proj = nn.Linear(4 * width, width)

    def forward(self, x):
        return self.c_proj(functional.gelu(self.c_fc(x)))


class Gated(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.w1 = nn.Linear(width, 3 * width, bias=False)
        self.w2 = nn.Linear(3 * width, width, bias=False)
        self.w3 = nn.Linear(width, 3 * width, bias=False)

    def forward(self, x):
        return self.w2(functional.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, width, mlp=Mlp):
        super().__init__()
        self.norm1, self.attn = nn.LayerNorm(width), Attention(width)
        self.norm2, self.mlp = nn.LayerNorm(width), mlp(width)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Language(nn.Module):
    """A pre-norm language model that draws all its weights from N(0, .02²)."""

    mlp: type = Mlp

    def __init__(self, blocks=BLOCKS, width=WIDTH):
        super().__init__()
        self.n_layer = blocks
        self.wte = nn.Embedding(VOCABULARY, width)
        self.wpe = nn.Parameter(torch.zeros(LENGTH, width))
        self.h = nn.ModuleList(Block(width, self.mlp) for _ in range(blocks))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, VOCABULARY, bias=False)
        nn.init.normal_(self.wpe, std=0.02)
        self.apply(self._init_weights)

    def _init_weights(self, module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe
        for block in self.h:
            x = block(x)
        return self.head(self.norm(x)).transpose(1, 2)


class Gpt2(Language):
    """huggingface/transformers #47458: full names are never equal to the name in the block."""

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, Language):
            for name, parameter in module.named_parameters():
                if name == "c_proj.weight":
                    nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.n_layer))


class Gpt2Repaired(Language):
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, (Attention, Mlp)):
            nn.init.normal_(module.c_proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class Clvp(Language):
    """huggingface/transformers #47478: the same, of the MLP alone; attention has another name."""

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, Language):
            for name, parameter in module.named_parameters():
                if name == "mlp.c_proj.weight":
                    std = 0.02 / math.sqrt(2 * self.n_layer)
                    nn.init.normal_(parameter, std=std)


class ClvpRepaired(Language):
    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, Mlp):
            std = 0.02 / math.sqrt(2 * self.n_layer)
            nn.init.normal_(module.c_proj.weight, std=std)


class Llama2C(Language):
    """karpathy/llama2.c #579: the gate is scaled in place of what writes to the stream."""

    mlp = Gated
    scaled = ("w3.weight", "c_proj.weight")

    def __init__(self):
        super().__init__()
        for name, parameter in self.named_parameters():
            if name.endswith(self.scaled):
                nn.init.normal_(parameter, std=0.02 / math.sqrt(2 * self.n_layer))


class Llama2CRepaired(Llama2C):
    scaled = ("w2.weight", "c_proj.weight")


class Tenstorrent(Language):
    """tenstorrent/tt-metal #48716: one std for matrices of different fans."""

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, (Attention, Mlp)):
            nn.init.normal_(module.c_proj.weight, std=self._std(module.c_proj.in_features))

    def _std(self, fan_in):
        return 1 / math.sqrt(WIDTH * self.n_layer)


class TenstorrentRepaired(Tenstorrent):
    def _std(self, fan_in):
        return 1 / math.sqrt(fan_in * self.n_layer)


def dense(inputs, outputs, gain=1.0):
    """A layer drawn by Glorot, times a gain."""
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, gain=gain)
    nn.init.zeros_(layer.bias)
    return layer


class MarianBlock(nn.Module):
    """marian-nmt/marian-dev #861: the factor of the depth is computed, and the feed-forward part
    drawn without it."""

    def __init__(self, layer, width):
        super().__init__()
        gain = 1 / math.sqrt(layer)
        self.norm1, self.q, self.k = nn.LayerNorm(width), dense(width, width), dense(width, width)
        self.v, self.o = dense(width, width, gain), dense(width, width, gain)
        self._feed_forward(layer, width)

    def _feed_forward(self, layer, width):
        gain = 1 / math.sqrt(layer)  # noqa: F841
        self.norm2, self.w1 = nn.LayerNorm(width), dense(width, 4 * width)
        self.w2 = dense(4 * width, width)

    def forward(self, x):
        y = self.norm1(x)
        x = x + self.o(
            functional.scaled_dot_product_attention(self.q(y), self.k(y), self.v(y), is_causal=True)
        )
        return x + self.w2(torch.relu(self.w1(self.norm2(x))))


class MarianBlockRepaired(MarianBlock):
    def _feed_forward(self, layer, width):
        gain = 1 / math.sqrt(layer)
        self.norm2, self.w1 = nn.LayerNorm(width), dense(width, 4 * width, gain)
        self.w2 = dense(4 * width, width, gain)


class Marian(Language):
    block: type = MarianBlock

    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(self.block(layer, WIDTH) for layer in range(1, BLOCKS + 1))


class MarianRepaired(Marian):
    block = MarianBlockRepaired
