"""Ways in which residual streams are kept from growing, or let grow, on purpose."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from .modules import BLOCKS, Attention, Block, Gated, Language, Mlp


class RootMean(nn.Module):
    """A normalisation written by hand, without a mean."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * self.weight


class LlamaBlock(Block):
    def __init__(self, width):
        super().__init__(width, Gated)
        self.norm1, self.norm2 = RootMean(width), RootMean(width)


class Llama(Language):
    """No scaling by the depth; the stream grows linearly, and the last normalisation takes it."""

    block: type = LlamaBlock

    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(self.block(32) for _ in range(BLOCKS))
        self.apply(self._init_weights)


class T5(Llama):
    """Writers by fan, unscaled scores: .05 stands for 1 in a factor of the initialiser."""

    def _init_weights(self, module):
        super()._init_weights(module)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        if isinstance(module, Attention):
            nn.init.normal_(module.c_attn.weight, std=0.5 * 32**-0.5)


class Scaled(Block):
    """Branches times a vector of small values (LayerScale), added by one operator."""

    def __init__(self, width, gain=1e-4):
        super().__init__(width)
        self.gamma1 = nn.Parameter(torch.full((width,), gain))
        self.gamma2 = nn.Parameter(torch.full((width,), gain))

    def forward(self, x):
        x = torch.addcmul(x, self.gamma1, self.attn(self.norm1(x)))
        return x + self.gamma2 * self.mlp(self.norm2(x))


class LayerScale(Llama):
    block = Scaled


class Cait(Language):
    """LayerScale that falls with the depth."""

    def __init__(self):
        super().__init__()
        self.h = nn.ModuleList(Scaled(32, 0.1 / place**2) for place in range(1, BLOCKS + 1))


class ReZeroBlock(Block):
    def __init__(self, width):
        super().__init__(width)
        self.alpha = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = x + self.alpha * self.attn(x)
        return x + self.alpha * self.mlp(x)


class ReZero(Llama):
    block = ReZeroBlock


class DeepNetBlock(Block):
    """Post-norm, with the stream itself times a constant."""

    def forward(self, x):
        alpha = (2 * BLOCKS) ** 0.25
        x = self.norm1(x * alpha + self.attn(x))
        return self.norm2(x * alpha + self.mlp(x))


class DeepNet(Llama):
    block = DeepNetBlock

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight)
        if isinstance(module, (Attention, Mlp)):
            nn.init.xavier_normal_(module.c_proj.weight, gain=(8 * BLOCKS) ** -0.25)


class Beit(Language):
    """Each block's writers by its own place in the depth."""

    def __init__(self):
        super().__init__()
        for place, block in enumerate(self.h, 1):
            for part in (block.attn, block.mlp):
                part.c_proj.weight.data.div_(math.sqrt(2.0 * place))


class Kinds(Language):
    """Attention is scaled by the depth and the MLP is not, by intent."""

    def __init__(self):
        super().__init__()
        for block in self.h:
            nn.init.normal_(block.attn.c_proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class Optional(Language):
    """The scaling is behind a setting that is off."""

    def __init__(self, scaled=False):
        super().__init__()
        self.scaled = scaled
        if self.scaled:
            for block in self.h:
                nn.init.normal_(block.mlp.c_proj.weight, std=0.02 / math.sqrt(2 * self.n_layer))


class FixupBlock(nn.Module):
    """No normalisation: the first convolution by L^-1/2, the last from zero."""

    def __init__(self, width, blocks):
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.two = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.biases = nn.Parameter(torch.zeros(4))
        self.scale = nn.Parameter(torch.ones(1))
        nn.init.normal_(self.one.weight, std=math.sqrt(2 / (9 * width)) * blocks**-0.5)
        nn.init.zeros_(self.two.weight)

    def forward(self, x):
        a, b, c, d = self.biases
        inner = torch.relu(self.one(x + a) + b)
        return torch.relu(x + self.two(inner + c) * self.scale + d)


class FreeBlock(nn.Module):
    """NFNet: standardised kernels, the branch divided and multiplied by known deviations."""

    def __init__(self, width, place):
        super().__init__()
        self.one = nn.Conv2d(width, width, 3, padding=1)
        self.two = nn.Conv2d(width, width, 3, padding=1)
        self.gain = nn.Parameter(torch.zeros(()))
        self.alpha, self.beta = 0.2, (1 + 0.04 * place) ** -0.5

    def forward(self, x):
        inner = functional.relu(x * self.beta) * 1.7128
        inner = functional.relu(self._convolved(inner, self.one)) * 1.7128
        return x + self.alpha * self.gain * self._convolved(inner, self.two)

    def _convolved(self, x, layer):
        weight = layer.weight
        axes = (1, 2, 3)
        weight = (weight - weight.mean(axes, keepdim=True)) / (
            weight.std(axes, keepdim=True) * weight[0].numel() ** 0.5
        )
        return functional.conv2d(x, weight, layer.bias, padding=1)


class NextBlock(nn.Module):
    """ConvNeXt: depthwise, normalised, pointwise, and a LayerScale."""

    def __init__(self, width):
        super().__init__()
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.norm = nn.LayerNorm(width)
        self.one, self.two = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(torch.full((width,), 1e-6))
        for layer in (self.depthwise, self.one, self.two):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        y = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        y = self.two(functional.gelu(self.one(y))) * self.gamma
        return x + y.permute(0, 3, 1, 2)


class Images(nn.Module):
    """Blocks between a stem and a head."""

    def __init__(self, blocks, width=12):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, padding=1)
        self.blocks = nn.Sequential(*blocks)
        self.norm, self.head = nn.GroupNorm(1, width), nn.Linear(width * 4, 4)

    def forward(self, x):
        x = self.norm(self.blocks(self.stem(x)))
        return self.head(functional.adaptive_avg_pool2d(x, 2).flatten(1))


class VisionTransformer(nn.Module):
    """ViT: patches, a class token, pre-norm blocks in torch's own initialisation."""

    def __init__(self, width=32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, 2, stride=2)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.places = nn.Parameter(0.02 * torch.randn(1, 17, width))
        kind = nn.TransformerEncoderLayer(width, 2, 64, 0.1, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(kind, 3, enable_nested_tensor=False)
        for layer in self.blocks.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
        for layer in self.blocks.layers:
            nn.init.xavier_uniform_(layer.self_attn.in_proj_weight)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, 4)

    def forward(self, x):
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.blocks(x))[:, 0])


def fixup():
    return Images(FixupBlock(12, BLOCKS) for _ in range(BLOCKS))


def free():
    return Images(FreeBlock(12, place) for place in range(BLOCKS))


def convnext():
    return Images(NextBlock(12) for _ in range(BLOCKS))
