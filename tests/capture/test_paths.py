"""Gradients and signals are judged along the paths that can carry them, and along no others."""

from __future__ import annotations

import pytest
import torch

from support.starts import (  # isort: skip
    Model, constant, ids, labelled, lines, mlp, named, told, two, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


def sequences(length, count=16, width=32, kinds=3):
    torch.manual_seed(2)
    x = torch.randn(count, length, width)
    return x, (x.mean(1) @ torch.randn(width, kinds)).argmax(1)


def attend(m, x):
    q, k, v = m.q(x), m.k(x), m.v(x)
    scores = q @ k.mT / q.shape[-1] ** 0.5
    if m.mask is not None:
        scores = scores.masked_fill(m.mask[: x.shape[1], : x.shape[1]], float("-inf"))
    return m.head((x + scores.softmax(-1) @ v).mean(1))


def attention(*, mask=None):
    torch.manual_seed(0)
    parts = {name: nn.Linear(32, 32) for name in "qkv"}
    return Model(attend, mask=mask, head=nn.Linear(32, 3), **parts)


@pytest.mark.parametrize("length", [1, 2, 8])
def test_attention_over_a_single_position_asks_for_no_gradient(length):
    found = diagnose(attention(), sequences(length))
    assert found.verdict == "pass", str(found)
    gradient = found.after.layer("q").gradients["weight"]
    assert (gradient.zero_share == 1) == (length == 1)


def test_queries_that_a_detach_cuts_off_are_still_silent():
    model = attention()
    model.function = lambda m, x: m.head((x + (m.q(x).detach() @ m.k(x).mT / 6).softmax(-1)
                                          @ m.v(x)).mean(1))  # fmt: skip
    assert named(diagnose(model, sequences(8)), "IC401").layers == ("q",)


def test_a_causal_mask_takes_no_slope_from_attention():
    """The first rows have few positions left: their softmax is no saturation."""
    ahead = torch.ones(8, 8, dtype=torch.bool).triu(1)
    found = diagnose(attention(mask=ahead), sequences(8))
    assert found.verdict == "pass", str(found)
    model = attention(mask=ahead)
    with torch.no_grad():
        model.q.weight.mul_(60)
    assert named(diagnose(model, sequences(8)), "IC305").severity == "warning"


def test_a_mask_that_leaves_one_position_takes_no_slope():
    alone = ~torch.eye(8, dtype=torch.bool)
    found = diagnose(attention(mask=alone), sequences(8))
    assert "IC305" not in told(found)


@pytest.mark.parametrize("way", ["module", "functional"])
def test_attention_of_torch_is_judged_like_one_written_by_hand(way):
    torch.manual_seed(0)
    if way == "module":
        inner = nn.MultiheadAttention(32, 4, batch_first=True)
        model = Model(lambda m, x: m.head((x + m.inner(x, x, x)[0]).mean(1)), inner=inner,
                      head=nn.Linear(32, 3))  # fmt: skip
        weight = inner.in_proj_weight
    else:
        model = attention()
        sdpa = functional.scaled_dot_product_attention
        model.function = lambda m, x: m.head((x + sdpa(m.q(x), m.k(x), m.v(x))).mean(1))
        weight = model.q.weight
    assert diagnose(model, sequences(8)).verdict == "pass"
    assert diagnose(model, sequences(1)).verdict == "pass"
    with torch.no_grad():
        weight[:32].mul_(100)
    assert "IC305" in ids(diagnose(model, sequences(8)))


def pair(*sizes):
    return nn.Sequential(nn.Linear(*sizes[:2]), nn.ReLU(), nn.Linear(*sizes[1:]))


def argmax(m, scores, options):
    return options[torch.arange(len(options)), scores.argmax(-1)]


def topk(m, scores, options):
    best = scores.topk(2, -1).indices
    return options.gather(1, best[..., None].expand(-1, -1, options.shape[-1])).sum(1)


def by_value(m, scores, options):
    values, best = scores.softmax(-1).topk(2, -1)
    chosen = options.gather(1, best[..., None].expand(-1, -1, options.shape[-1]))
    return (values[..., None] * chosen).sum(1)


def threshold(m, scores, options):
    return torch.where(scores[..., None] > 0, options, torch.zeros(())).sum(1)


def router(choose):
    torch.manual_seed(0)
    experts = nn.ModuleList(pair(20, 16, 3) for _ in range(4))
    return Model(
        lambda m, x: choose(m, m.router(x), torch.stack([e(x) for e in m.experts], 1)),
        router=nn.Linear(20, 4), experts=experts,
    )  # fmt: skip


@pytest.mark.parametrize("choose", [argmax, topk, threshold])
def test_indices_and_masks_carry_no_gradient_and_ask_for_none(choose):
    """What only selects can get no gradient: no factor on its path is zero, there is no path."""
    found = diagnose(router(choose), labelled())
    assert found.verdict == "pass", str(found)
    assert not found.after.layer("router").gradients


def test_values_of_a_selection_carry_a_gradient():
    found = diagnose(router(by_value), labelled())
    assert found.verdict == "pass", str(found)
    assert found.after.layer("router").gradients["weight"].zero_share < 1


def test_an_empty_tensor_asks_for_no_gradient():
    def run(m, x):
        none = torch.relu(m.extra(x[:0]))
        return m.head(torch.relu(m.body(x)) + none.sum(0))

    model = two(None)
    model.extra = nn.Linear(20, 32)
    model.function = run
    found = diagnose(model, labelled())
    assert found.verdict == "pass", str(found)


class Reader(nn.Module):
    """Adds what a table holds for a second row of ids to features."""

    def __init__(self, padding):
        super().__init__()
        torch.manual_seed(0)
        self.table = nn.Embedding(10, 20, padding_idx=padding)
        self.body = mlp(nn.ReLU, 20, 32, 3)

    def forward(self, x, ids):
        return self.body(x + self.table(ids))


@pytest.mark.parametrize(("padding", "detached", "is_silent"), [
    (0, False, False), (None, False, False), (None, True, True),
])  # fmt: skip
def test_a_table_that_only_saw_its_padding_asks_for_no_gradient(padding, detached, is_silent):
    model, (x, y) = Reader(padding), labelled()
    if detached:
        model.table.forward = lambda ids: functional.embedding(ids, model.table.weight).detach()
    found = diagnose(model, ((x, torch.zeros(len(x), dtype=torch.long)), y))
    assert ("IC401" in told(found)) == is_silent, str(found)


def noise(count=16, positions=4096):
    torch.manual_seed(2)
    return torch.randn(count, positions, 4), torch.randint(0, 3, (count,))


POOLS = {
    "mean": lambda h: h.mean(1),
    "pool": lambda h: functional.adaptive_avg_pool1d(h.mT, 1)[..., 0],
    "pools in series": lambda h: functional.avg_pool1d(functional.avg_pool1d(h.mT, 64), 64)[..., 0],
}


@pytest.mark.parametrize("pool", POOLS)
def test_what_a_mean_takes_from_noise_is_no_vanishing_signal(pool):
    model = two(lambda m, h: 4 + POOLS[pool](torch.tanh(h)), features=4)
    found = diagnose(model, noise())
    assert "IC402" not in told(found), str(found)


def test_without_a_mean_the_same_share_is_a_vanishing_signal():
    def fixed(m, h):
        return 4 + torch.tanh(h)[:, 0] / 64**2

    found = diagnose(two(fixed, features=4), noise())
    assert "IC402" in told(found)


def residual(zero):
    """Four branches beside a stem; the last layer of each may start at zero."""
    torch.manual_seed(0)
    branches = nn.ModuleList(pair(32, 32, 32) for _ in range(4))

    def run(m, x):
        h = m.stem(x)
        for branch in m.branches:
            h = h + branch(h)
        return m.head(h)

    model = Model(run, stem=nn.Linear(20, 32), branches=branches, head=nn.Linear(32, 3))
    for branch in branches if zero else ():
        nn.init.zeros_(branch[2].weight)
        nn.init.zeros_(branch[2].bias)
    return model


@pytest.mark.parametrize("zero", [False, True])
def test_zero_branches_are_opened_by_the_steps(zero):
    assert diagnose(residual(zero), labelled()).verdict == "pass"


@pytest.mark.parametrize("rate", [1e-2, 1e-5])
def test_a_zero_head_takes_the_gradient_away_and_that_is_no_fault(rate):
    model = weighted(mlp(nn.ReLU, 20, 32, 32, 32, 3), constant(0.0), "6")
    found = diagnose(model, labelled(), optimizer=lambda p: torch.optim.SGD(p, rate))
    assert "IC403" not in told(found), str(found)
    assert found.verdict == "pass"


def test_a_gradient_that_the_layers_take_away_is_one():
    model = weighted(mlp(nn.Sigmoid, 20, *[16] * 9, 3), lambda w: nn.init.normal_(w, 0, 0.3))
    assert {"IC402", "IC403"} & told(diagnose(model, labelled()))


def test_an_unused_head_and_a_frozen_body_ask_for_no_gradient():
    model = two(lambda m, h: torch.relu(h))
    model.unused = nn.Linear(32, 7)
    model.body.requires_grad_(False)
    assert diagnose(model, labelled()).verdict == "pass"


def test_an_auxiliary_output_that_the_loss_leaves_out_asks_for_none():
    model = two(None, kinds=1)
    model.other = nn.Linear(32, 4)
    model.function = lambda m, x: (m.head(h := torch.relu(m.body(x))), m.other(h))
    found = diagnose(model, lines(), loss_fn=nn.MSELoss())
    assert ids(found) == ["IC823"], str(found)


@pytest.mark.parametrize("as_loss", [True, False])
def test_a_loss_that_is_called_forward_is_no_step_of_several_networks(as_loss):
    model = Model(lambda m, x: m.head(m.body(x).detach()), body=nn.Linear(20, 16),
                  head=nn.Linear(16, 3))  # fmt: skip

    def forward(output, targets):
        return functional.cross_entropy(output, targets)

    def step(model, batch):
        return functional.cross_entropy(model(batch[0]), batch[1])

    how = {"loss_fn": forward} if as_loss else {"forward": step}
    found = [f.id for f in diagnose(model, labelled(), **how).findings]
    assert ("IC401" in found) == as_loss
