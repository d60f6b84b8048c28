"""Models as they are called in practice: scripted, compiled, wrapped, sparse, by keywords."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from ..case import BAD, FAIL, PASS
from ..causes import BAD_GRADIENTS, BAD_WEIGHTS, DEAD, LEFT, LOCKED, OVERFLOW, ZERO
from ..changes import fill
from ..nets import constant, each, mlp, text
from .builders import Model, made, row, small, start


class Bag(nn.Module):
    """An EmbeddingBag and a head; ``sparse`` gradients on request."""

    def __init__(self, *, sparse=False, hidden=False):
        super().__init__()
        self.bag = nn.EmbeddingBag(50, 16, sparse=sparse)
        self.head = mlp(nn.ReLU, 16, 24, 3) if hidden else nn.Linear(16, 3)

    def forward(self, ids):
        return self.head(self.bag(ids))


def words():
    ids = torch.randint(0, 50, (32, 8))
    return ids, ids[:, 0] % 3


def sparse_rows(parameters):
    return torch.optim.SGD(parameters, 1.0)


def unlisted():
    """Layers in a plain list, which ``parameters()`` does not know."""
    hidden = [nn.Linear(20, 32), nn.Linear(32, 32)]
    return Model(lambda m, x: m.head(torch.relu(hidden[1](torch.relu(hidden[0](x))))),
                 head=nn.Linear(32, 3))  # fmt: skip


def lazy():
    return nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(32), nn.Linear(32, 3))


def wrapped(wrap, change=None):
    """An MLP inside a wrapper."""

    def make():
        model = small()
        if change:
            change(model)
        return wrap(model)

    return make


def compiled(model):
    return torch.compile(model, backend="eager")


def reparametrised(wrap, value=None):
    """All but the last layer parametrised, from drawn or constant weights."""

    def make():
        model = small()
        for index in (0, 2):
            if value is not None:
                constant(value)(model[index])
            model[index] = wrap(model[index])
        return model

    return make


class Answer(dict):
    __getattr__ = dict.__getitem__


class Keyed(nn.Module):
    """A model called by keywords that returns its loss."""

    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(40, 24), nn.Linear(24, 40)
        self.body = nn.GRU(24, 24, batch_first=True)

    def forward(self, input_ids, labels):
        logits = self.head(self.body(self.embedding(input_ids))[0])
        loss = functional.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Answer(loss=loss, logits=logits)


def keyed():
    return start(Keyed(), dict(zip(("input_ids", "labels"), text(40), strict=True)))


def mixed(m, x):
    with torch.autocast("cpu", torch.bfloat16):
        return m.body(x).float()


def aligned():
    """CTC over forty steps."""

    def loss(output, targets):
        lengths = torch.full((8,), 40), torch.full((8,), 10)
        return functional.ctc_loss(output.log_softmax(-1).transpose(0, 1), targets, *lengths)

    body = nn.LSTM(12, 16, batch_first=True, bidirectional=True)
    model = Model(lambda m, x: m.head(m.body(x)[0]), body=body, head=nn.Linear(32, 20))
    return start(model, (torch.randn(8, 40, 12), torch.randint(1, 20, (8, 10))), loss)


CASES = [
    row("sparse bag", made(lambda: Bag(sparse=True), None, words, optimizer=sparse_rows), PASS),
    row("constant bag and hidden layer", made(lambda: Bag(hidden=True),
        lambda m: (m.bag.weight.fill_(0.1), fill(0.1, "head.0", "head.2")(m)), words), FAIL, LOCKED,
        "bag head.0"),
    row("zero sparse bag and zero head", made(lambda: Bag(sparse=True),
        lambda m: (m.bag.weight.zero_(), fill(0.0, "head")(m)), words, optimizer=sparse_rows), FAIL,
        ZERO, "bag head"),
    row("lazy", made(lazy), PASS),
    row("scripted", made(wrapped(torch.jit.script)), PASS),
    row("scripted constant", made(wrapped(torch.jit.script, lambda m: each(m, constant(0.1)))),
        FAIL, LOCKED, "0"),
    row("compiled dead layer", made(wrapped(compiled, lambda m: nn.init.constant_(m[2].bias,
        -30.0))), FAIL, DEAD, "2 module.2 _orig_mod.2"),
    row("DataParallel constant", made(wrapped(nn.DataParallel, lambda m: each(m, constant(0.1)))),
        FAIL, LOCKED, "0 module.0 _orig_mod.0"),
    row("constant weight norm", made(reparametrised(parametrizations.weight_norm, 0.1)), FAIL,
        LOCKED, "0"),
    row("constant spectral norm", made(reparametrised(parametrizations.spectral_norm, 0.1)), FAIL,
        LOCKED, "0"),
    row("zero weight norm", made(reparametrised(parametrizations.weight_norm, 0.0)), FAIL,
        (BAD_WEIGHTS, OVERFLOW, BAD_GRADIENTS, ZERO), "0"),
    row("layers in a plain list", made(unlisted), BAD, LEFT),
    row("keywords", keyed, PASS),
    row("autocast", made(lambda: Model(mixed, body=small())), PASS),
    row("CTC", aligned, PASS),
]  # fmt: skip
