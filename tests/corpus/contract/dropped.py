"""Data that a loop or a mask drops, labels that are the blank, and what alone is left to train.

From public reports (SeanNaren/deepspeech.pytorch#603, pytorch/pytorch#27968 and 127177,
lyst/lightfm#130, teilomillet/textpolicy#45). After 300 steps on fresh data the faults decode 34 %
of the words right, against 100 %, or stay at chance, where the others learn all.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from ..case import BAD, FAIL, PASS, WARN
from ..causes import ALIKE, ANSWERED, CLAMPED, NOT_READ, SILENT, ZERO
from ..nets import adam, mlp, text
from ..unusual.builders import Model
from .builders import given, groups, row, tokenwise

COUNT, LENGTH, WORDS = 48, 10, 12


def spoken(labels):
    """Four sounds of five kinds, each over five steps, and what ``labels`` makes of their kinds."""

    def data():
        kinds = (torch.randint(0, 5, (24, 1)) + torch.tensor([0, 1, 3, 4])) % 5
        x = torch.randn(5, 8)[kinds.repeat_interleave(5, 1)] + 0.4 * torch.randn(24, 20, 8)
        return x, labels(kinds)

    return data


def listener():
    body = nn.GRU(8, 24, batch_first=True, bidirectional=True)
    return Model(lambda m, x: m.head(m.body(x)[0]).log_softmax(-1), body=body,
                 head=nn.Linear(48, 6))  # fmt: skip


def ctc(blank):
    def loss(output, labels):
        steps = torch.full((24,), 20), torch.full((24,), 4)
        return functional.ctc_loss(output.transpose(0, 1), labels, *steps, blank=blank)

    return loss


def padded(kinds):
    """Labels from 1 up, in a matrix that is longer than they are."""
    return functional.pad(kinds + 1, (0, 3))


def looped(*, carried, headed=False):
    """A cell called step by step; ``headed``: with a head at each, of which the last counts."""

    def run(m, x):
        h = first = x.new_zeros(len(x), 24)
        for step in range(x.shape[1]):
            h = m.cell(x[:, step], h if carried else first)
            scores = m.head(h) if headed else None
        return scores if headed else m.head(h)

    return lambda: Model(run, cell=nn.GRUCell(6, 24), head=nn.Linear(24, 4))


def decoder():
    """Reads a text and writes it on; what comes next is looked up in the last step, too."""

    def run(m, x):
        h, word, scores = x.new_zeros(len(x), 32).float(), m.table(x[:, 0]), []
        for step in range(1, x.shape[1] + 1):
            h = m.cell(word, h)
            scores.append(m.head(h))
            word = m.table(x[:, min(step, x.shape[1] - 1)])
        return torch.stack(scores, 1)

    return Model(run, table=nn.Embedding(50, 16), cell=nn.GRUCell(16, 32), head=nn.Linear(32, 50))


def segmented():
    """Words, and a table of zeros for the kinds of their segments, all of which are padding."""

    def run(m, x):
        return m.head(m.body((m.words(x) + m.kinds(torch.zeros_like(x))).mean(1)).relu())

    model = Model(run, words=nn.Embedding(WORDS, 32, padding_idx=0), head=nn.Linear(32, 2),
                  kinds=nn.Embedding(2, 32, padding_idx=0), body=nn.Linear(32, 32))  # fmt: skip
    nn.init.zeros_(model.kinds.weight)
    return model


def motifs():
    """A motif of the class somewhere in noise."""
    y = torch.arange(COUNT) % 4
    x, motif = torch.randn(COUNT, LENGTH, 6) / 2, torch.randn(4, 4, 6)
    for i, at in enumerate(torch.randint(0, LENGTH - 3, (COUNT,))):
        x[i, at : at + 4] += motif[y[i]]
    return x, y


def marked():
    """Texts of several lengths, behind them zeros; the class is told by one of the words."""
    x, y = torch.randint(3, WORDS, (COUNT, LENGTH)), torch.arange(COUNT) % 2
    length = torch.randint(4, LENGTH, (COUNT,))
    x[torch.arange(COUNT), (torch.rand(COUNT) * length).long()] = 1 + y
    return x.masked_fill(torch.arange(LENGTH) >= length[:, None], 0), y


def attending(hidden, padding=0):
    """A token of its own attends to itself and to the words, but those that ``hidden`` tells."""

    def run(m, x):
        h = torch.cat([m.query.expand(len(x), 1, -1), m.table(x)], 1)
        mask = functional.pad(hidden(x), (1, 0), value=False)
        read, _ = m.attention(h[:, :1], h, h, key_padding_mask=mask, need_weights=False)
        return m.head(read[:, 0])

    def make():
        return Model(run, table=nn.Embedding(WORDS, 32, padding_idx=padding),
                     attention=nn.MultiheadAttention(32, 4, batch_first=True),
                     query=nn.Parameter(torch.randn(32) / 5), head=nn.Linear(32, 2))  # fmt: skip

    return make


def parted():
    """Attention beside padding, over words with a kind that is the same for all of them."""

    def run(m, x):
        h = m.table(x) + m.kinds(torch.zeros_like(x))
        hidden = (x == 0)[..., None]
        return m.head(h.masked_fill(hidden, 0.0).sum(1) / (~hidden).sum(1))

    return Model(run, table=nn.Embedding(WORDS, 32), kinds=nn.Embedding(2, 32),
                 head=nn.Linear(32, 2))  # fmt: skip


def factors(users, items):
    """Products of rows of two tables; the deviations of what they start from."""

    def run(m, x):
        return (m.users(x[:, 0]) * m.items(x[:, 1])).sum(-1)

    def make():
        model = Model(run, users=nn.Embedding(20, 8), items=nn.Embedding(20, 8))
        for table, sigma in ((model.users, users), (model.items, items)):
            nn.init.normal_(table.weight, 0, sigma)
        return model

    return make


def ratings():
    x = torch.randint(0, 20, (256, 2))
    left, right = torch.randn(20, 3), torch.randn(20, 3)
    return x, (left[x[:, 0]] * right[x[:, 1]]).sum(-1)


def trained(keeps):
    """Three layers of which those parameters train whose name ``keeps``."""

    def make():
        model = mlp(nn.ReLU, 20, 64, 64, 10)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(keeps(name))
        return model

    return make


def coded(width):
    """Words through a code of all of them, or each by itself where the code has no width."""

    def run(m, x):
        h = m.table(x)
        if width:
            return m.out(m.code(h.flatten(1)).relu()).unflatten(1, (8, WORDS))
        return m.out(h)

    def make():
        parts = {"code": nn.Linear(8 * 16, width)} if width else {}
        out = nn.Linear(width, 8 * WORDS) if width else nn.Linear(16, WORDS)
        return Model(run, table=nn.Embedding(WORDS, 16), out=out, **parts)

    return make


def repeated():
    x = torch.randint(0, WORDS, (64, 8))
    return x, x.clone()


QUICK = {"optimizer": adam(1e-2)}


def in_step(m, batch):
    return tokenwise(m(batch[0]), batch[1])


CASES = [
    row("a label that is CTC's blank", given(listener, spoken(lambda k: k), ctc(0), **QUICK), FAIL,
        CLAMPED),
    row("a blank behind the labels of CTC", given(listener, spoken(lambda k: k), ctc(5), **QUICK),
        PASS),
    row("labels of CTC with padding behind", given(listener, spoken(padded), ctc(0), **QUICK),
        PASS),
    row("a loop that starts anew at each step", given(looped(carried=False), motifs, **QUICK),
        WARN, NOT_READ),
    row("a loop that carries its state", given(looped(carried=True), motifs, **QUICK), PASS),
    row("a head at each step, the last one read", given(looped(carried=True, headed=True), motifs,
        **QUICK), PASS),
    row("a word looked up once too often", given(decoder, lambda: text(50), tokenwise, **QUICK),
        PASS),
    row("a table that saw padding alone", given(segmented, marked, **QUICK), PASS),
    row("a padding mask the wrong way round", given(attending(lambda x: x != 0), marked, **QUICK),
        BAD, SILENT),
    row("the wrong way round, without a padding row", given(attending(lambda x: x != 0, None),
        marked, **QUICK), BAD, SILENT),
    row("a padding mask without a padding row", given(attending(lambda x: x == 0, None), marked,
        **QUICK), PASS),
    row("kinds of segments beside padding", given(parted, marked, **QUICK), PASS),
    row("a padding mask", given(attending(lambda x: x == 0), marked, **QUICK), PASS),
    row("two tables of zeros", given(factors(0, 0), ratings, nn.MSELoss(), **QUICK), FAIL, ZERO),
    row("one table of zeros", given(factors(0, 0.3), ratings, nn.MSELoss(), **QUICK), PASS),
    row("the last bias alone", given(trained(lambda name: name == "4.bias"), groups), WARN, ALIKE),
    row("all biases", given(trained(lambda name: "bias" in name), groups), PASS),
    row("the head alone", given(trained(lambda name: name.startswith("4")), groups), PASS),
    row("words through a code", given(coded(24), repeated, tokenwise, **QUICK), PASS),
    row("words through a code, in a step", given(coded(24), repeated, forward=in_step, **QUICK),
        PASS),
    row("words that are their own answer", given(coded(0), repeated, tokenwise, **QUICK), WARN,
        ANSWERED),
]  # fmt: skip
