"""Attention head by head, and the experts that a router sends tokens to."""

import pytest
import torch
from corpus.attention.builders import sets
from corpus.attention.experts import EXPERTS, WIDTH, Grouped, Mixture
from support.starts import ids, named
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose
from pytest_initcheck.checks.attention_heads import Heads
from pytest_initcheck.checks.experts import Experts
from pytest_initcheck.checks.saturation import Saturation


def judged(make, change=None, *, steps=1):
    torch.manual_seed(0)
    model = make()
    if change:
        with torch.no_grad():
            change(model)
    checks = [Heads(), Experts(), Saturation()]
    return diagnose(model, sets(width=WIDTH), steps=steps, checks=checks)


class Torch(nn.Module):
    """torch's own attention, fused or not, over samples first or second."""

    def __init__(self, *, batch_first=True, need_weights=False):
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, 4, batch_first=batch_first)
        self.head, self.need_weights = nn.Linear(WIDTH, 3), need_weights

    def forward(self, x):
        y = x if self.attn.batch_first else x.transpose(0, 1)
        y = self.attn(y, y, y, need_weights=self.need_weights)[0]
        return self.head((x + (y if self.attn.batch_first else y.transpose(0, 1))).amax(1))


def queries(factor):
    """The queries of head 2 of four."""

    def change(model):
        weight = model.query.weight if hasattr(model, "query") else model.attn.in_proj_weight
        width = weight.shape[0] // (4 if hasattr(model, "query") else 12)
        weight[2 * width : 3 * width] *= factor

    return change


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_one_head_is_seen_however_attention_runs(batch_first, need_weights):
    def make():
        return Torch(batch_first=batch_first, need_weights=need_weights)

    assert judged(make).findings == []
    found = named(judged(make, queries(100)), "IC308")
    assert (found.layer, found.units, found.severity) == ("attn", (2,), "warning")
    assert found.measured < 0.5


def test_one_head_is_seen_behind_grouped_queries_and_a_mask():
    assert judged(Grouped).findings == []
    found = judged(Grouped, queries(60))

    assert named(found, "IC308").units == (2,)
    assert "head 2 of 4" in named(found, "IC308").cause
    assert "IC305" not in ids(found)


def test_all_heads_together_are_told_as_one():
    def change(model):
        model.query.weight.mul_(60)

    found = judged(Grouped, change)

    assert "IC305" in ids(found)
    assert "IC308" not in ids(found)


def test_the_record_has_every_head_at_both_moments():
    found = judged(Grouped, lambda model: [p.zero_() for p in model.query.parameters()])
    (start,), (end,) = found.record.heads, found.after.heads

    assert start.name == "key"
    assert start.entropy == pytest.approx((1, 1, 1, 1), abs=1e-5)
    assert start.passed == pytest.approx((1, 1, 1, 1), abs=1e-5)
    assert start.largest == (0, 0, 0, 0)
    assert len(end.entropy) == 4


def test_entropy_and_scores_are_those_of_the_formula():
    torch.manual_seed(0)
    model, (x, y) = Grouped(), sets(width=WIDTH)
    (start,) = diagnose(model, (x, y), steps=1).record.heads
    with torch.no_grad():
        z = model.norm(x)
        q = model.query(z).unflatten(-1, (-1, 8)).transpose(1, 2)
        k = model.key(z).unflatten(-1, (-1, 8)).transpose(1, 2).repeat_interleave(2, 1)
        scores = q @ k.transpose(-1, -2) / 8**0.5
        mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).tril()
        scores = scores.masked_fill(~mask, -torch.inf)
        shares = scores.softmax(-1)
        counts = mask.sum(-1)[1:]
        entropy = torch.special.entr(shares).sum(-1)[..., 1:] / counts.log()

    assert start.largest == pytest.approx(scores.amax((0, 2, 3)).tolist(), rel=1e-4)
    assert start.entropy == pytest.approx(entropy.mean((0, 2)).tolist(), rel=1e-4)


class Learnt(nn.Module):
    """A head whose scores grow with every step."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, x):
        parts = (self.query(x), self.key(x), self.value(x))
        q, k, v = (part.unflatten(-1, (2, -1)).transpose(1, 2) for part in parts)
        out = functional.scaled_dot_product_attention(q, k, v)
        return self.head(out.transpose(1, 2).flatten(2).amax(1))


def test_a_head_that_collapses_within_the_steps_is_found():
    class Pushing(torch.optim.SGD):
        def step(self, closure=None):
            super().step(closure)
            with torch.no_grad():
                self.param_groups[0]["params"][0][8:].mul_(40)

    torch.manual_seed(0)
    found = diagnose(Learnt(), sets(width=WIDTH), None, lambda p: Pushing(p, lr=1e-3), 1,
                     checks=[Heads()])  # fmt: skip

    assert named(found, "IC308").units == (1,)
    assert found.record.heads[0].entropy[1] > 0.8 > 0.5 > found.after.heads[0].entropy[1]


def bias(place, value):
    def change(model):
        model.router.bias[place] = value

    return change


@pytest.mark.parametrize("picked", [1, 2])
def test_sound_routers_pass(picked):
    for seed in range(3):
        torch.manual_seed(seed)
        found = diagnose(Mixture(picked), sets(width=WIDTH), steps=1, checks=[Experts()])
        assert found.findings == []
    (record,) = found.record.experts
    assert (record.router, record.picked, len(record.counts)) == ("router", picked, EXPERTS)
    assert sum(record.counts) == 320 * picked
    assert record.dispersion > 0


def test_an_expert_that_no_token_reaches():
    found = named(judged(lambda: Mixture(bias=True), bias(4, -100.0)), "IC309")

    assert (found.layer, found.units, found.severity) == ("router", (4,), "warning")
    assert found.quantity == "experts without a token"


def test_an_expert_that_gets_what_chance_does_not_give():
    found = named(judged(lambda: Mixture(bias=True), bias(1, 0.3)), "IC309")

    assert found.units == (1,)
    assert found.measured == pytest.approx(0.5, abs=0.01)
    assert 1 / EXPERTS < found.limit < found.measured


def test_equal_rows_and_zeros():
    def equal(model):
        model.router.weight[5] = model.router.weight[2]

    assert named(judged(Mixture, equal), "IC205").units == (2, 5)
    assert judged(Mixture, lambda model: model.router.weight.zero_()).findings == []


def test_a_choice_that_the_loss_does_not_see_is_none():
    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(WIDTH, 3)
            self.register_buffer("seen", torch.zeros(3))

        def forward(self, x):
            scores = self.layer(x.amax(1))
            self.seen.copy_(torch.bincount(scores.argmax(-1), minlength=3))
            return scores

    def change(model):
        model.layer.bias[0] = 50.0

    assert "IC309" not in ids(judged(Classes, change))
