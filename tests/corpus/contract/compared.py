"""Losses that compare samples: contrast, margins, ranks, risk sets, statistics of the batch."""

from __future__ import annotations

import copy
import math

import torch
from torch import nn
from torch.nn import functional

from ..case import PASS
from ..nets import mlp
from ..unusual.builders import Model
from ..unusual.generative import Pair, views
from .builders import cosine, given, groups, net, numbers, row
from .unbounded import apart, triples


def twins(m, b):
    """The codes of both views of a batch."""
    return m(b["a"]), m(b["b"])


def both():
    (a, b), _ = views()
    return {"a": a, "b": b}


def noise_contrast(m, b):
    """NT-Xent over all 64 views, each hidden from itself."""
    z = functional.normalize(torch.cat(twins(m, b)))
    scores = (z @ z.T / 0.2).masked_fill(torch.eye(64, dtype=torch.bool), -math.inf)
    return functional.cross_entropy(scores, torch.arange(64).roll(32))


def supervised(m, b):
    """Supervised contrast: the mean over all samples of the same class."""
    z = functional.normalize(m(b[0]))
    scores = (z @ z.T / 0.2).masked_fill(torch.eye(128, dtype=torch.bool), -1e9)
    like = (b[1][:, None] == b[1]) & ~torch.eye(128, dtype=torch.bool)
    return -((scores.log_softmax(1) * like).sum(1) / like.sum(1)).mean()


def pairwise(m, b):
    """Sigmoids of all pairs with labels of −1 and 1, a learnt scale and bias."""
    a, c = (functional.normalize(part) for part in (m.body(b["a"]), m.body(b["b"])))
    scores = a @ c.T * m.scale.exp() + m.bias
    return -functional.logsigmoid((2 * torch.eye(32) - 1) * scores).sum(1).mean()


def pairwise_model():
    return Model(None, body=net(outputs=16)(), scale=nn.Parameter(torch.tensor(math.log(10.0))),
                 bias=nn.Parameter(torch.tensor(-10.0)))  # fmt: skip


def barlow(m, b):
    """Cross-correlation of the features of both views towards the identity."""
    a, c = ((z - z.mean(0)) / z.std(0) for z in twins(m, b))
    corr = a.T @ c / 32
    off = corr - torch.diag(corr.diagonal())
    return (1 - corr.diagonal()).square().sum() + 0.05 * off.square().sum()


def vicreg(m, b):
    a, c = twins(m, b)
    total = 25 * (a - c).square().mean()
    for z in (a, c):
        cov = (z - z.mean(0)).T @ (z - z.mean(0)) / 31
        total = total + 25 * (1 - (z.var(0) + 1e-4).sqrt()).relu().mean()
        total = total + (cov - torch.diag(cov.diagonal())).square().sum() / 16
    return total


def siamese(m, b):
    """The likeness of a prediction to the other view's code, which gets no gradient."""
    a, c = m.body(b["a"]), m.body(b["b"])
    like = functional.cosine_similarity
    return -(like(m.predict(a), c.detach()).mean() + like(m.predict(c), a.detach()).mean()) / 2


def simsiam():
    return Model(None, body=mlp(nn.ReLU, 20, 64, 16), predict=mlp(nn.ReLU, 16, 16, 16))


def latent(m, b):
    """The prediction of what an averaged copy says of the other view."""
    with torch.no_grad():
        goal = functional.normalize(m.target(b["b"]))
    return (functional.normalize(m.predict(m.body(b["a"]))) - goal).square().sum(1).mean()


def byol():
    model = simsiam()
    model.target = copy.deepcopy(model.body).requires_grad_(False)
    return model


def margin(kind):
    """The loss of cosines times 30 with a margin on the angle or on the cosine."""

    def loss(output, y):
        cosines, hit = output / 30, functional.one_hot(y, 10)
        angle = cosines.clamp(-1 + 1e-6, 1 - 1e-6).acos()
        moved = (angle + 0.2 * hit).cos() if kind == "angle" else cosines - 0.2 * hit
        return functional.cross_entropy(30 * moved, y)

    return loss


def risk(output, target):
    """Cox: each death against all that are at risk then; the samples meet in the loss."""
    order = target[:, 0].argsort(descending=True)
    scores, dead = output[order, 0], target[order, 1]
    return -((scores - scores.logcumsumexp(0)) * dead).sum() / dead.sum()


def survivors():
    x, y = numbers()()
    time = -y + 0.1 * torch.randn_like(y)
    return x, torch.cat([time.exp(), (torch.rand(128, 1) < 0.7).float()], 1)


def ranked(output, y):
    """RankNet over all pairs: a column against a row, as it should be."""
    higher = (y - y.T > 0).float()
    return functional.binary_cross_entropy_with_logits(output - output.T, higher)


def listed(output, y):
    """ListNet: cross-entropy of two softmaxes over the batch."""
    return -(y.softmax(0) * output.log_softmax(0)).sum()


def ordinal(m, x):
    """CORAL: one score, four thresholds."""
    return m.body(x) + m.thresholds


def coral():
    return Model(ordinal, body=net(outputs=1)(), thresholds=nn.Parameter(torch.linspace(2, -2, 4)))


def levels(output, y):
    over = (y > torch.tensor([-1.0, -0.3, 0.3, 1.0])).float()
    return functional.binary_cross_entropy_with_logits(output, over)


def ranking(m, b):
    return functional.margin_ranking_loss(*twins(m, b), b["higher"], margin=0.5)


def ordered():
    x, y = numbers()()
    return {"a": x[:64], "b": x[64:], "higher": (y[:64] - y[64:]).sign()}


def margined(m, b):
    """The distance to a like sample, and the hinge of that to an unlike one."""
    near, far = (m(b[part]) - m(b["anchor"]) for part in ("near", "far"))
    return near.square().sum(1).mean() + (2 - far.norm(dim=1)).relu().square().mean()


def soft_triplets(m, b):
    return functional.softplus(apart(m, b))


code = net(None, 16)

CASES = [
    row("views at temperature .1", given(lambda: Pair(scale=10.0), views), PASS),
    row("contrast of all views", given(code, both, forward=noise_contrast), PASS),
    row("contrast by classes", given(code, groups, forward=supervised), PASS),
    row("sigmoids of pairs with labels of -1 and 1", given(pairwise_model, both, forward=pairwise),
        PASS),
    row("correlation of views", given(code, both, forward=barlow), PASS),
    row("variance and covariance of views", given(code, both, forward=vicreg), PASS),
    row("likeness of views with a stop", given(simsiam, both, forward=siamese), PASS),
    row("likeness to an averaged copy", given(byol, both, forward=latent), PASS),
    row("margin on the angle", given(cosine(), groups, margin("angle")), PASS),
    row("margin on the cosine", given(cosine(), groups, margin("cosine")), PASS),
    row("margin on distances", given(code, triples, forward=margined), PASS),
    row("triplets by a softplus", given(code, triples, forward=soft_triplets), PASS),
    row("risk sets", given(net(None, 1), survivors, risk), PASS),
    row("ranks of all pairs", given(net(None, 1), numbers(), ranked), PASS),
    row("ranks of a list", given(net(None, 1), numbers(), listed), PASS),
    row("ranks of pairs with labels of -1 and 1", given(net(None, 1), ordered, forward=ranking),
        PASS),
    row("ordered levels", given(coral, numbers(), levels), PASS),
]  # fmt: skip
