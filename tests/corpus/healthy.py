"""Legitimate patterns that naive rules take for faults: nothing may be said about them."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from .case import PASS, Case, Start
from .nets import classes, cnn, constant, each, he, mlp, pictures, tokens


def images(count=8, size=32, kinds=10):
    return torch.randn(count, 3, size, size), torch.randint(0, kinds, (count,))


class AdaNorm(nn.Module):
    """Blocks modulated by a condition, whose modulation and head start at zero."""

    def __init__(self, width=32):
        super().__init__()
        self.embed, self.condition = nn.Linear(20, width), nn.Linear(20, width)
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulate = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(3))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(3))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(3))
        self.head = nn.Linear(width, 3)
        each(self.modulate, constant(0.0))
        constant(0.0)(self.head)

    def forward(self, x):
        h, c = self.embed(x), functional.silu(self.condition(x))
        for modulate, up, down in zip(self.modulate, self.up, self.down, strict=True):
            shift, scale, gate = modulate(c).chunk(3, -1)
            h = h + gate * down(functional.gelu(up(self.norm(h) * (1 + scale) + shift)))
        return self.head(h)


class ZeroBranch(nn.Module):
    """A zero convolution that adds a controlled branch."""

    def __init__(self):
        super().__init__()
        self.stem, self.zero = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 1)
        self.head = nn.Linear(8, 10)
        constant(0.0)(self.zero)

    def forward(self, x):
        h = functional.relu(self.stem(x))
        return self.head((h + self.zero(functional.silu(h))).mean((2, 3)))


class Scaled(nn.Module):
    """LayerScale, ReZero gains and a position table that start small or at zero."""

    def __init__(self, depth=6):
        super().__init__()
        self.stem, self.head = nn.Linear(20, 32), nn.Linear(32, 3)
        self.layers = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.more = nn.ModuleList(nn.Linear(32, 32) for _ in range(depth))
        self.gamma = nn.ParameterList(nn.Parameter(torch.full((32,), 1e-6)) for _ in range(depth))
        self.gain = nn.Parameter(torch.zeros(depth))
        self.position = nn.Parameter(torch.zeros(32))

    def forward(self, x):
        h = self.stem(x) + self.position
        for layer, more, gamma, gain in zip(
            self.layers, self.more, self.gamma, self.gain, strict=True
        ):
            h = h + gamma * functional.gelu(layer(h))
            h = h + gain * torch.tanh(more(h))
        return self.head(h)


class Contrast(nn.Module):
    """Two encoders whose cosine similarities are multiplied by a learnt logit scale."""

    def __init__(self):
        super().__init__()
        self.left, self.right = mlp(nn.GELU, 20, 32, 16), mlp(nn.GELU, 12, 32, 16)
        self.scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, left, right):
        a, b = functional.normalize(self.left(left)), functional.normalize(self.right(right))
        return a @ b.T * self.scale.exp()


class GemmaNorm(nn.Module):
    """An RMS norm whose weight is stored as its difference from one."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(20, 32), nn.Linear(32, 3)
        self.weight = nn.Parameter(torch.zeros(32))

    def forward(self, x):
        h = self.body(x)
        h = h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6)
        return self.head(functional.relu(h * (1 + self.weight)))


class Positions(nn.Module):
    """Sinusoidal tables, frozen and trained, with class and mask tokens of zero."""

    def __init__(self):
        super().__init__()
        angle = torch.arange(11)[:, None] / 10000 ** (torch.arange(0, 32, 2) / 32)
        table = torch.cat([angle.sin(), angle.cos()], 1)
        self.fixed = nn.Parameter(table, requires_grad=False)
        self.learnt = nn.Parameter(table.clone())
        self.cls = nn.Parameter(torch.zeros(1, 1, 32))
        self.mask = nn.Parameter(torch.zeros(1, 1, 32))
        self.embedding = nn.Embedding(50, 32, padding_idx=0)
        self.block = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.head = nn.Linear(32, 3)

    def forward(self, ids):
        h = self.embedding(ids)
        h = torch.where((ids == 7)[..., None], self.mask, h)
        h = torch.cat([self.cls.expand(len(ids), -1, -1), h], 1)
        return self.head(self.block(h + self.fixed + self.learnt)[:, 0])


def identity(indices):
    def build():
        model = mlp(nn.ReLU, 20, 20, 20, 20, 3)
        for index in indices:
            nn.init.eye_(model[index].weight)
        return Start(model, classes())

    return build


def dirac():
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(8 * 1024, 10),
    )  # fmt: skip
    nn.init.dirac_(model[2].weight)
    return Start(model, images())


class Decoder(nn.Module):
    """A small GPT: N(0, .02²), scaled residual projections, output tied to the embedding."""

    def __init__(self, depth=3, width=64, vocabulary=100):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.position = nn.Parameter(torch.zeros(1, 16, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth + 1))
        self.qkv = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.project = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 4 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(4 * width, width) for _ in range(depth))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                small = name.startswith(("project", "down"))
                nn.init.normal_(parameter, 0, 0.02 / math.sqrt(2 * depth) if small else 0.02)

    def forward(self, ids):
        h = self.embedding(ids) + self.position[:, : ids.shape[1]]
        for i in range(len(self.qkv)):
            q, k, v = self.qkv[i](self.norms[2 * i](h)).unflatten(-1, (3, 4, -1)).unbind(-3)
            heads = functional.scaled_dot_product_attention(
                *(part.transpose(1, 2) for part in (q, k, v)), is_causal=True
            )
            h = h + self.project[i](heads.transpose(1, 2).flatten(2))
            h = h + self.down[i](functional.gelu(self.up[i](self.norms[2 * i + 1](h))))
        return self.head(self.norms[-1](h))


def decoder():
    ids = torch.randint(0, 100, (4, 16))
    return Start(Decoder(), (ids, ids.roll(-1, 1)))


class Experts(nn.Module):
    """A mixture of experts of which one gets no sample, beside a head that this batch skips."""

    def __init__(self):
        super().__init__()
        self.experts = nn.ModuleList(mlp(nn.ReLU, 20, 32, 3) for _ in range(4))
        self.router, self.unused = nn.Linear(20, 4), nn.Linear(20, 3)

    def forward(self, x):
        gates = self.router(x).softmax(-1)
        chosen = gates[:, :3].argmax(-1)
        out = x.new_zeros(len(x), 3)
        for i, expert in enumerate(self.experts):
            mine = chosen == i
            out = out.index_add(0, mine.nonzero()[:, 0], expert(x[mine]) * gates[mine, i : i + 1])
        return out


def frozen():
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    model[0].requires_grad_(False)
    model[2].bias.requires_grad_(False)
    return Start(model, classes())


def empty():
    model = mlp(nn.ReLU, 20, 32, 3)
    model.register_parameter("spare", nn.Parameter(torch.empty(0, 4)))
    return Start(model, classes())


def pruned():
    model = mlp(nn.ReLU, 20, 64, 64, 3)
    prune.l1_unstructured(model[2], "weight", 0.9)
    prune.ln_structured(model[0], "weight", 0.5, 2, 0)
    return Start(model, classes())


def actor():
    """A policy network of tanh with orthogonal weights and a last layer of gain .01."""
    model = mlp(nn.Tanh, 20, 64, 64, 3)
    for layer, gain in zip(model[::2], (2**0.5, 2**0.5, 0.01), strict=True):
        nn.init.orthogonal_(layer.weight, gain)
        nn.init.zeros_(layer.bias)
    return Start(model, classes())


def detector():
    """A head whose bias says that one anchor in a hundred holds something."""
    model = mlp(nn.ReLU, 20, 64, 10)
    nn.init.constant_(model[2].bias, -math.log(99))
    targets = (torch.rand(64, 10) < 0.01).float()
    options = {"loss_fn": functional.binary_cross_entropy_with_logits}
    return Start(model, (torch.randn(64, 20), targets), options)


def imagenet():
    x = (torch.rand(8, 3, 32, 32) - 0.45) / 0.225
    model = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(16, 10),
    )  # fmt: skip
    return Start(model, (x, torch.randint(0, 10, (8,))))


def negative_loss():
    options = {"loss_fn": lambda output: -output.softmax(-1).amax(-1).mean()}
    return Start(mlp(nn.ReLU, 20, 32, 3), torch.randn(32, 20), options)


def contrast():
    return Start(Contrast(), ((torch.randn(16, 20), torch.randn(16, 12)), torch.arange(16)))


def zero_head():
    model = mlp(nn.ReLU, 20, 32, 32, 3)
    constant(0.0)(model[4])
    return Start(model, classes())


CASES = [
    Case("healthy 3 adaLN-zero", lambda: Start(AdaNorm(), classes()), PASS),
    Case("healthy 4 zero convolution", lambda: Start(ZeroBranch(), images()), PASS),
    Case("healthy 5 zero head", zero_head, PASS),
    Case("healthy 6 LayerScale and ReZero", lambda: Start(Scaled(), classes()), PASS),
    Case("healthy 6 logit scale", contrast, PASS),
    Case("healthy 8 norm weight stored as 1 + w", lambda: Start(GemmaNorm(), classes()), PASS),
    Case("healthy 9 sinusoidal tables and zero tokens", lambda: Start(Positions(), tokens()), PASS),
    Case("healthy 10 one identity layer", identity((2,)), PASS),
    Case("healthy 10 identity layers", identity((0, 2, 4)), PASS),
    Case("healthy 10 Dirac", dirac, PASS),
    Case("healthy 12 tied decoder by N(0, .02²)", decoder, PASS),
    Case("healthy 13 mixture of experts", lambda: Start(Experts(), classes()), PASS),
    Case("healthy 13 frozen layers", frozen, PASS),
    Case("healthy 14 sparse CNN", lambda: Start(each(cnn(), he), pictures()), PASS),
    Case("healthy 15 zero-element parameter", empty, PASS),
    Case("healthy 16 policy head of gain .01", actor, PASS),
    Case("healthy 17 prior bias of a detector", detector, PASS),
    Case("healthy 20 ImageNet-normalised images", imagenet, PASS),
    Case("healthy 20 negative loss", negative_loss, PASS),
    Case("healthy pruned", pruned, PASS),
]  # fmt: skip
