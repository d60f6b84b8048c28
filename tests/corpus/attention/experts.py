"""Mixtures of experts, and attention with a head on a scale of its own."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS, WARN
from ..causes import LOAD, ONE_HEAD, ONE_SOFTMAX, ROUTER
from ..changes import at
from ..nets import adam, built
from .builders import row, sets

WIDTH, EXPERTS = 16, 6


class Mixture(nn.Module):
    """Each token goes to the ``picked`` experts that its router likes most."""

    def __init__(self, picked=2, *, bias=False, late=False):
        super().__init__()
        self.picked, self.late = picked, late
        self.enter, self.norm = nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
        self.router = nn.Linear(WIDTH, EXPERTS, bias=bias)
        nn.init.normal_(self.router.weight, std=0.02)
        if bias:
            nn.init.zeros_(self.router.bias)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 32), nn.GELU(), nn.Linear(32, WIDTH))
            for _ in range(EXPERTS)
        )
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x):
        x = self.enter(x)
        tokens = self.norm(x).flatten(0, 1)
        scores = self.router(tokens)
        shares, chosen = (scores if self.late else scores.softmax(-1)).topk(self.picked, -1)
        if self.late:
            shares = shares.softmax(-1)
        elif self.picked > 1:
            shares = shares / shares.sum(-1, keepdim=True)
        out = torch.zeros_like(tokens)
        for place, expert in enumerate(self.experts):
            token, rank = (chosen == place).nonzero(as_tuple=True)
            out = out.index_add(0, token, expert(tokens[token]) * shares[token, rank, None])
        return self.head((x + out.view_as(x)).amax(1))


class Grouped(nn.Module):
    """Four heads of queries, two of keys and values, in torch's fused attention."""

    def __init__(self):
        super().__init__()
        self.norm, self.query = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 32)
        self.key, self.value = nn.Linear(WIDTH, 16), nn.Linear(WIDTH, 16)
        self.out, self.head = nn.Linear(32, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x):
        y = self.norm(x)
        parts = (self.query(y), self.key(y), self.value(y))
        q, k, v = (part.unflatten(-1, (-1, 8)).transpose(1, 2) for part in parts)
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        out = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)
        return self.head((x + self.out(out.transpose(1, 2).flatten(2))).amax(1))


def mixture(change=None, **options):
    return built(lambda: Mixture(**options), change, lambda: sets(width=WIDTH),
                 optimizer=adam(3e-3))  # fmt: skip


def grouped(change=None):
    return built(Grouped, change, lambda: sets(width=WIDTH), optimizer=adam(3e-3))


def head(place, factor):
    """The queries of one head, multiplied."""

    def change(model):
        model.query.weight[8 * place : 8 * place + 8] *= factor

    return change


def closed(router):
    """An expert that no token can reach."""
    router.bias[4] = -100.0


def favoured(router):
    """An expert that most tokens go to, besides another."""
    router.bias[1] = 0.3


def equal(router):
    router.weight[3] = router.weight[0]


CASES = [
    row("one head of four too large", grouped(head(2, 60)), WARN, ONE_HEAD),
    row("an expert that no token reaches", mixture(at("router", do=closed), bias=True), WARN,
        LOAD, "router"),
    row("an expert for all tokens", mixture(at("router", do=favoured), bias=True), WARN, LOAD,
        "router"),
    row("two experts with one row", mixture(at("router", do=equal)), WARN, ROUTER, "router"),
    row("a router of ones", mixture(lambda model: model.router.weight.fill_(1.0)), WARN, ROUTER,
        "router"),
    row("grouped queries", grouped(), PASS),
    row("one head twice as large", grouped(head(2, 2)), PASS),
    row("queries that start at zero", grouped(lambda model: model.query.weight.zero_()), PASS),
    row("mixture of two", mixture(), PASS),
    row("mixture of one", mixture(picked=1), PASS),
    row("mixture of one, a softmax of the choice", mixture(picked=1, late=True), WARN,
        ONE_SOFTMAX),
    row("mixture of two, a softmax of the choice", mixture(late=True), PASS),
    row("mixture, torch's router",
        mixture(lambda model: model.router.reset_parameters()), PASS),
    row("mixture, a router from zero", mixture(lambda model: model.router.weight.zero_()), PASS),
]  # fmt: skip
