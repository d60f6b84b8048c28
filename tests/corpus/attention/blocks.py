"""Attention of several kinds, norms and feed-forward parts, and blocks of them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

VOCABULARY, WIDTH, HEADS = 60, 32, 4


class Rms(nn.Module):
    """A root-mean-square norm with a gain."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * self.weight


def rotate(x):
    """Rotary positions of (batch, heads, length, size)."""
    length, size = x.shape[-2:]
    rates = 10000.0 ** (-torch.arange(0, size, 2) / size)
    angle = torch.arange(length)[:, None] * rates
    even, odd = x[..., ::2], x[..., 1::2]
    turned = even * angle.cos() - odd * angle.sin(), even * angle.sin() + odd * angle.cos()
    return torch.stack(turned, -1).flatten(-2)


class Attend(nn.Module):
    """Attention of several kinds; ``scale`` multiplies the scores."""

    def __init__(self, width=WIDTH, heads=HEADS, *, kind="sdpa", groups=HEADS, causal=False,
                 scale=None, rotary=False, relative=False, unit=False):  # fmt: skip
        super().__init__()
        size = width // heads
        self.q, self.o = nn.Linear(width, width), nn.Linear(width, width)
        self.k, self.v = nn.Linear(width, groups * size), nn.Linear(width, groups * size)
        self.kind, self.causal, self.rotary, self.unit = kind, causal, rotary, unit
        self.groups, self.size, self.heads = groups, size, heads
        self.scale = size**-0.5 if scale is None else scale
        self.bias = nn.Parameter(torch.zeros(heads, 32, 32)) if relative else None

    def forward(self, x):
        q = self.q(x).unflatten(-1, (self.heads, self.size)).transpose(1, 2)
        k, v = (
            part(x).unflatten(-1, (self.groups, self.size)).transpose(1, 2)
            .repeat_interleave(self.heads // self.groups, 1)
            for part in (self.k, self.v)
        )  # fmt: skip
        if self.rotary:
            q, k = rotate(q), rotate(k)
        if self.unit:
            q, k = functional.normalize(q, dim=-1), functional.normalize(k, dim=-1)
        if self.kind == "sdpa":
            h = functional.scaled_dot_product_attention(
                q, k, v, is_causal=self.causal, scale=self.scale
            )
        elif self.kind == "linear":
            q, k = functional.elu(q) + 1, functional.elu(k) + 1
            h = q @ (k.mT @ v) / (q @ k.sum(-2, keepdim=True).mT)
        else:
            scores = torch.einsum("bhid,bhjd->bhij", q, k) * self.scale
            length = x.shape[1]
            if self.bias is not None:
                scores = scores + self.bias[:, :length, :length]
            if self.causal:
                ahead = torch.ones(length, length, dtype=torch.bool).triu(1)
                scores = scores.masked_fill(ahead, -1e9)
            h = torch.einsum("bhij,bhjd->bhid", scores.softmax(-1), v)
        return self.o(h.transpose(1, 2).flatten(2))


class SwiGlu(nn.Module):
    """A SwiGLU feed-forward."""

    def __init__(self, width=WIDTH):
        super().__init__()
        self.gate, self.up = nn.Linear(width, 48, bias=False), nn.Linear(width, 48, bias=False)
        self.down = nn.Linear(48, width, bias=False)

    def forward(self, x):
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Squared(nn.Module):
    """A feed-forward of squared ReLU."""

    def __init__(self, width=WIDTH):
        super().__init__()
        self.up, self.down = nn.Linear(width, 48), nn.Linear(48, width)

    def forward(self, x):
        return self.down(functional.relu(self.up(x)).square())


class Block(nn.Module):
    """Norm first, or last with ``post``."""

    def __init__(self, *, norm=Rms, feed=SwiGlu, post=False, saved=False, **options):
        super().__init__()
        self.attend, self.feed = Attend(**options), feed()
        self.norm1, self.norm2 = norm(WIDTH), norm(WIDTH)
        self.post, self.saved = post, saved

    def body(self, x):
        if self.post:
            x = self.norm1(x + self.attend(x))
            return self.norm2(x + self.feed(x))
        x = x + self.attend(self.norm1(x))
        return x + self.feed(self.norm2(x))

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False) if self.saved else self.body(x)


class Writer(nn.Module):
    """A causal language model; ``sigma`` is that of the embedding."""

    def __init__(self, *, depth=2, sigma=0.02, tied=False, norm=Rms, boost=1.0, **options):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        nn.init.normal_(self.embedding.weight, 0, sigma)
        self.blocks = nn.ModuleList(Block(norm=norm, causal=True, **options) for _ in range(depth))
        self.norm, self.head = norm(WIDTH), nn.Linear(WIDTH, VOCABULARY, bias=False)
        self.boost = boost
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, ids):
        h = self.embedding(ids) * self.boost
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))
