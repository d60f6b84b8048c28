"""Single layers of attention in all sorts of surroundings."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from ..nets import alike
from .blocks import WIDTH, Attend, Block, Rms, Squared


def encoder(**options):
    return lambda: nn.TransformerEncoderLayer(WIDTH, 4, 48, 0.0, batch_first=True, **options)


class Sorter(nn.Module):
    """One layer (or several) over sets, the mean of its output, and a head."""

    def __init__(self, body, width=WIDTH):
        super().__init__()
        self.body, self.head = body, nn.Linear(width, 3)

    def forward(self, x):
        return self.head(self.body(x).mean(1))


class Own(nn.Module):
    """nn.MultiheadAttention beside a residual."""

    def __init__(self):
        super().__init__()
        self.attn, self.norm = nn.MultiheadAttention(WIDTH, 4, batch_first=True), Rms(WIDTH)

    def forward(self, x):
        return self.norm(x + self.attn(x, x, x)[0])


class SideBySide(nn.Module):
    """Single-head attentions, copies on request, put side by side or added."""

    def __init__(self, *, added, copied=True):
        super().__init__()
        self.heads = nn.ModuleList(alike(lambda: Attend(heads=1, groups=1), 3, copied=copied))
        self.added, self.mix = added, nn.Linear(WIDTH * (1 if added else 3), WIDTH)

    def forward(self, x):
        parts = [head(x) for head in self.heads]
        return self.mix(sum(parts) if self.added else torch.cat(parts, -1))


class Latents(nn.Module):
    """Learnt queries that read the set; all alike when their table is constant."""

    def __init__(self, sigma):
        super().__init__()
        self.queries = nn.Parameter(torch.full((6, WIDTH), 0.1) + sigma * torch.randn(6, WIDTH))
        self.attn = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
        self.mix = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        queries = self.queries.expand(len(x), -1, -1)
        return self.mix(queries + self.attn(queries, x, x)[0])


class Adapter(nn.Module):
    """A frozen encoder layer with an adapter, or with low-rank updates of q and v."""

    def __init__(self, change, *, act=nn.ReLU, low=False):
        super().__init__()
        self.base = Block(feed=Squared).requires_grad_(False)
        self.down, self.up = nn.Linear(WIDTH, 4), nn.Linear(4, WIDTH)
        self.act = nn.Identity() if low else act()
        change(self)

    def forward(self, x):
        return self.base(x) + self.up(self.act(self.down(x)))


class Prompted(nn.Module):
    """Learnt prompts of zero before a frozen encoder that knows positions."""

    def __init__(self):
        super().__init__()
        self.prompts = nn.Parameter(torch.zeros(4, WIDTH))
        self.register_buffer("positions", torch.randn(14, WIDTH))
        self.base = encoder()().requires_grad_(False)

    def forward(self, x):
        h = torch.cat([self.prompts.expand(len(x), -1, -1), x], 1) + self.positions
        return self.base(h)[:, :4]


class Masked(nn.Module):
    """Attention in which some queries may look at nothing."""

    def __init__(self, *, empty):
        super().__init__()
        self.attend, self.out = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.empty = empty

    def forward(self, x):
        q, k = self.attend(x).chunk(2, -1)
        scores = q @ k.mT / math.sqrt(WIDTH)
        hidden = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool)
        scores = scores.masked_fill(hidden.triu(0 if self.empty else 1), -math.inf)
        return self.out(scores.softmax(-1) @ x)


class Tensors(nn.Module):
    """Attention whose weights are tensors with an axis for the heads."""

    def __init__(self, value=None):
        super().__init__()
        self.q, self.k, self.v, self.o = (
            nn.Parameter(torch.randn(4, *shape) / 6) for shape in ((32, 8),) * 3 + ((8, 32),)
        )
        if value:
            nn.init.constant_(self.q, value)
            nn.init.constant_(self.k, value)

    def forward(self, x):
        q, k, v = (torch.einsum("bld,hdk->bhlk", x, part) for part in (self.q, self.k, self.v))
        weights = (q @ k.mT / 8**0.5).softmax(-1)
        return x + torch.einsum("bhlk,hkd->bld", weights @ v, self.o)


class Deaf(Attend):
    """Single-head attention whose queries pass no gradient."""

    def __init__(self):
        super().__init__(heads=1, groups=1)

    def forward(self, x):
        return self.o(functional.scaled_dot_product_attention(self.q(x).detach(), self.k(x),
                                                              self.v(x)))  # fmt: skip


class Saved(nn.Module):
    """A torch encoder layer whose activations are computed again in the backward pass."""

    def __init__(self):
        super().__init__()
        self.body = encoder()()

    def forward(self, x):
        return checkpoint(self.body, x, use_reentrant=False)


class AttentionPool(nn.Module):
    """Attention pooling whose softmax runs over ``axis``: 1 is that of the set."""

    def __init__(self, axis):
        super().__init__()
        self.body, self.score, self.head = nn.Linear(32, 24), nn.Linear(24, 1), nn.Linear(24, 3)
        self.axis = axis

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.head((self.score(h).softmax(self.axis) * h).sum(1))
