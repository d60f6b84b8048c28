"""Softmaxes and rectifiers: at the end of a model, over one value, and inside attention."""

from __future__ import annotations

import pytest
import torch

from support.starts import (  # isort: skip
    Model, ids, labelled, lines, mlp, named, normal, told, two, weighted,
)  # fmt: skip
from torch import nn
from torch.nn import functional

from pytest_initcheck import diagnose


def rectified(bias, kinds=1, act=nn.ReLU):
    model = mlp(nn.Tanh, 20, 64, kinds, last=[act()])
    nn.init.constant_(model[2].bias, bias)
    return model


def shares(count=64):
    x, _ = labelled(count=count)
    return x, torch.rand(count, 1)


@pytest.mark.parametrize("act", [nn.ReLU, nn.ReLU6])
def test_a_rectified_output_that_is_alive_is_a_warning(act):
    found = diagnose(rectified(0.8, act=act), shares())
    assert found.verdict == "warn"
    assert named(found, "IC304").layer == "2"


def test_a_rectified_output_that_is_dead_is_an_error():
    found = diagnose(rectified(-9.0), shares())
    assert found.verdict == "fail"
    assert ids(found)[0] in ("IC301", "IC304")


def test_rectified_logits_are_an_error_where_the_first_loss_is_high():
    calm = diagnose(rectified(0.5, kinds=3), labelled())
    assert named(calm, "IC304").severity == "warning"
    model = weighted(mlp(nn.ReLU, 20, 64, 3, last=[nn.ReLU()]), normal(0.7))
    high = diagnose(model, labelled())
    assert high.losses[0] > 1.1 + 1.5
    assert named(high, "IC304").severity == "error"
    assert named(high, "IC304").limit == 1.5


def test_a_rectifier_that_a_pooling_follows_ends_no_model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.ReLU(),
                          nn.AdaptiveAvgPool2d(1), nn.Flatten())  # fmt: skip
    batch = torch.randn(16, 1, 8, 8), torch.randint(0, 3, (16,))
    assert "IC304" not in told(diagnose(model, batch))


def test_a_softplus_or_exponential_output_is_no_rectified_one():
    for last in (nn.Softplus(), nn.ELU()):
        assert "IC304" not in told(diagnose(mlp(nn.Tanh, 20, 64, 1, last=[last]), shares()))


def softmax_of(kinds, dim=-1, after=()):
    return mlp(nn.ReLU, 20, 32, kinds, last=[nn.Softmax(dim), *after])


def test_a_softmax_over_one_unit_is_an_error_wherever_it_stands():
    x, y = shares()
    assert named(diagnose(softmax_of(1), (x, (y > 0.5).float()), nn.BCELoss()), "IC306").units == ()
    inner = two(lambda m, h: functional.softmax(h, -1), width=1)
    assert "IC306" in told(diagnose(inner, labelled()))


def test_cross_entropy_over_one_class_is_an_error():
    x, _ = labelled()
    found = diagnose(mlp(nn.ReLU, 20, 32, 1), (x, torch.zeros(64).long()), nn.CrossEntropyLoss())
    assert ids(found) == ["IC306"]


def test_a_softmax_over_many_values_along_another_dimension_is_sound():
    """Weights over the samples of one column are no constant."""
    found = diagnose(softmax_of(1, dim=0), shares(), nn.MSELoss())
    assert "IC306" not in told(found), str(found)


def test_a_softmax_along_the_batch_of_one_is_over_one_value():
    """Along the wrong dimension: each of the two classes has one sample to choose from."""
    x, y = labelled(count=1)
    found = diagnose(softmax_of(2, dim=0), (x, functional.one_hot(y % 2, 2).float()), nn.BCELoss())
    assert "IC306" in told(found)


@pytest.mark.parametrize("count", [1, 2])
def test_one_way_and_two_way_attention_over_positions_is_no_softmax_of_units(count):
    def run(m, x):
        weights = m.score(h := torch.tanh(m.body(x))).softmax(1)
        return m.head((weights * h).sum(1))

    torch.manual_seed(0)
    model = Model(run, body=nn.Linear(20, 32), score=nn.Linear(32, 1), head=nn.Linear(32, 3))
    x, y = labelled()
    found = diagnose(model, (x[:, None].repeat(1, count, 1) + torch.randn(64, count, 20), y))
    assert found.verdict == "pass", str(found)


class Block(nn.Module):
    """Attention of torch beside a skip."""

    def __init__(self, factor):
        super().__init__()
        self.inner = nn.MultiheadAttention(32, 4, batch_first=True)
        with torch.no_grad():
            self.inner.in_proj_weight[:64].mul_(factor)

    def forward(self, x):
        return x + self.inner(x, x, x, need_weights=False)[0]


def stack(*factors):
    torch.manual_seed(0)
    return nn.Sequential(*map(Block, factors), nn.Flatten(), nn.Linear(32 * 8, 3))


def sets():
    torch.manual_seed(1)
    return torch.randn(16, 8, 32), torch.randint(0, 3, (16,))


def test_all_saturated_attention_is_one_finding():
    found = named(diagnose(stack(8, 1, 8), sets()), "IC305")
    assert found.layers == ("0.inner", "2.inner")
    assert set(found.profile) == {"0.inner", "2.inner"}
    assert found.measured == found.profile["0.inner"] < found.limit == 0.5
    assert "IC305" not in told(diagnose(stack(1, 1), sets()))


def test_the_remedy_of_saturated_attention_opens_it():
    found = diagnose(stack(6, 6), sets())
    after = found.try_remedy()
    assert "in_proj_weight" in after.applied[0]
    assert "IC305" not in told(after)


def test_normalised_queries_have_a_temperature_to_learn():
    def run(m, x):
        q, k = (functional.normalize(part(x), dim=-1) for part in (m.q, m.k))
        return m.head((x + (m.scale * (q @ k.mT)).softmax(-1) @ m.v(x)).flatten(1))

    torch.manual_seed(0)
    parts = {name: nn.Linear(32, 32) for name in "qkv"}
    model = Model(run, scale=nn.Parameter(torch.tensor(60.0)), head=nn.Linear(256, 3), **parts)
    assert "IC305" not in told(diagnose(model, sets()))


@pytest.mark.parametrize("loss_fn", [None, nn.L1Loss(), nn.HuberLoss(), nn.BCELoss()])
def test_a_saturated_output_is_judged_by_its_loss(loss_fn):
    """A difference leaves the slope of the output in; a logarithm cancels it."""
    is_log = isinstance(loss_fn, nn.BCELoss)
    model = mlp(nn.Tanh, 20, 64, 1, last=[nn.Sigmoid() if is_log else nn.Tanh()])
    nn.init.normal_(model[2].weight, 0, 5)
    x, y = lines()
    found = diagnose(model, (x, (y > 0).float() if is_log else y), loss_fn)
    assert ("IC303" in told(found)) == (not is_log)
