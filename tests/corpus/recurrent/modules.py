"""Recurrent networks: cells in a loop, language models, encoders with decoders."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils import rnn


class Loop(nn.Module):
    """Cells in a Python loop over time, one above the other."""

    def __init__(self, kind, layers=1, *, cut=False, softmax=False, **options):
        super().__init__()
        make = getattr(nn, kind)
        self.cells = nn.ModuleList(make(24 if i else 12, 24, **options) for i in range(layers))
        self.head = nn.Linear(24, 1 if softmax else 3)
        self.lstm, self.cut, self.softmax = "LSTM" in kind, cut, softmax

    def forward(self, x):
        states = [None] * len(self.cells)
        for step in x.unbind(1):
            h = step
            for i, cell in enumerate(self.cells):
                states[i] = cell(h, states[i])
                h = states[i][0] if self.lstm else states[i]
        logits = self.head(h.detach() if self.cut else h)
        return logits.softmax(-1) if self.softmax else logits


class Minimal(nn.Module):
    """A minimal gated unit from bare parameters."""

    def __init__(self, value=None):
        super().__init__()
        self.forget, self.write = (nn.Parameter(torch.randn(36, 24) / 6) for _ in range(2))
        self.read = nn.Parameter(torch.randn(24, 3) / 5)
        if value is not None:
            for parameter in self.parameters():
                nn.init.constant_(parameter, value)

    def forward(self, x):
        h = x.new_zeros(len(x), 24)
        for step in x.unbind(1):
            f = torch.sigmoid(torch.cat([step, h], 1) @ self.forget)
            h = (1 - f) * h + f * torch.tanh(torch.cat([step, f * h], 1) @ self.write)
        return h @ self.read


class Language(nn.Module):
    """Embedding, LSTM with dropout, and an output that may be tied."""

    def __init__(self, *, sigma=0.1, tied=False, embedding=None, enter=None):
        super().__init__()
        self.embedding = nn.Embedding(40, 32)
        nn.init.normal_(self.embedding.weight, 0, sigma)
        self.body = nn.LSTM(32, 32, 2, batch_first=True, dropout=0.1)
        self.output = nn.Linear(32, 40)
        if tied:
            self.output.weight = self.embedding.weight
        if embedding is not None:
            nn.init.constant_(self.embedding.weight, embedding)
        if enter is not None:
            nn.init.constant_(self.body.weight_ih_l0, enter)

    def forward(self, ids):
        return self.output(self.body(self.embedding(ids))[0])


class Taught(nn.Module):
    """An encoder and a decoder with teacher forcing; the decoder may start as a copy."""

    def __init__(self, *, copied=False):
        super().__init__()
        self.embedding, self.output = nn.Embedding(40, 24), nn.Linear(24, 40)
        self.encoder = nn.GRU(24, 24, batch_first=True)
        self.decoder = copy.deepcopy(self.encoder) if copied else nn.GRU(24, 24, batch_first=True)

    def forward(self, source, target):
        state = self.encoder(self.embedding(source))[1]
        return self.output(self.decoder(self.embedding(target), state)[0])


class Packed(nn.Module):
    """Sequences of different lengths, packed, with a learnt first state of zero."""

    def __init__(self):
        super().__init__()
        self.body, self.head = nn.GRU(12, 24, batch_first=True), nn.Linear(24, 3)
        self.state = nn.Parameter(torch.zeros(1, 1, 24))

    def forward(self, x, lengths):
        packed = rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.body(packed, self.state.expand(1, len(x), -1).contiguous())[1][0])
