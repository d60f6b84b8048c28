"""Which products with weights are seen, however they are written."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import weight_norm

from pytest_initcheck.sizes.tap import Tap


def seen(model, *inputs):
    tap = Tap(model)
    with tap.looking():
        model(*inputs)
    return tap.found


def facts(found):
    return {key: (one.fan_in, one.fan_out, one.rows_in_all) for key, one in found.items()}


class Written(nn.Module):
    """A weight of one's own, used as ``rule`` says."""

    def __init__(self, rule, *shape):
        super().__init__()
        self.w, self.rule = nn.Parameter(torch.randn(*shape)), rule

    def forward(self, x):
        return self.rule(x, self.w)


@pytest.mark.parametrize(
    ("model", "x", "key", "fans"),
    [
        (nn.Linear(6, 4), torch.randn(40, 6), ("weight", "addmm"), (6, 4, 40)),
        (nn.Linear(6, 4, bias=False), torch.randn(5, 8, 6), ("weight", "mm"), (6, 4, 40)),
        (Written(lambda x, w: x @ w, 6, 4), torch.randn(40, 6), ("w", "mm"), (6, 4, 40)),
        (Written(lambda x, w: (w @ x.t()).t(), 4, 6), torch.randn(40, 6), ("w", "mm"), (6, 4, 40)),
        (Written(lambda x, w: w @ x, 4, 6), torch.randn(6), ("w", "mv"), (6, 4, 1)),
        (Written(torch.bmm, 3, 6, 4), torch.randn(3, 8, 6), ("w", "bmm"), (6, 4, 8)),
        (
            nn.Conv2d(3, 8, 3),
            torch.randn(5, 3, 6, 6),
            ("weight", "convolution"),
            (27, 8, 80),
        ),
        (
            nn.ConvTranspose1d(4, 6, 2, groups=2),
            torch.randn(5, 4, 3),
            ("weight", "convolution"),
            (4, 6, 20),
        ),
        (nn.Embedding(9, 4), torch.arange(6).reshape(2, 3), ("weight", "embedding"), (9, 4, 6)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_product_is_seen_with_its_fans_and_can_be_made_again(model, x, key, fans):
    found = seen(model, x)
    assert facts(found) == {key: fans}
    again = found[key].product(found[key].weight.detach())
    bias = getattr(model, "bias", None)
    if bias is not None:
        again = again + bias.detach().reshape(-1, *[1] * (again.dim() - 2))
    assert torch.allclose(again, found[key].made, atol=1e-6)


def test_what_is_made_of_weights_alone_stands_for_them():
    scaled = Written(lambda x, w: functional.linear(x, w / 3), 4, 6)
    (one,) = seen(scaled, torch.randn(5, 6)).values()
    assert torch.allclose(one.weight, scaled.w.t() / 3)
    normed = weight_norm(nn.Linear(6, 4))
    (one,) = seen(normed, torch.randn(5, 6)).values()
    assert torch.allclose(one.weight.t(), normed.weight)
    assert "parametrizations" in one.parameter


def test_constants_before_and_behind_belong_to_the_product():
    def rule(x, w):
        return (x * 0.5 @ w) / 4 * torch.tensor(3.0)

    (one,) = seen(Written(rule, 6, 4), torch.randn(5, 6)).values()
    assert (one.before, one.after) == (0.5, 0.75)


def test_a_learnt_factor_is_no_constant():
    gate = nn.Parameter(torch.tensor(0.5))
    (one,) = seen(Written(lambda x, w: (x @ w) * gate, 6, 4), torch.randn(5, 6)).values()
    assert one.after == 1.0


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)

    def forward(self, x):
        return (self.q(x) / 8) @ self.k(x).transpose(-1, -2)


def test_how_a_query_is_scaled_is_a_matter_of_the_attention():
    found = seen(Attention(), torch.randn(2, 5, 8))
    assert [one.after for one in found.values()] == [1.0, 1.0]


def test_the_last_use_of_a_weight_counts():
    cell = nn.Linear(4, 4, bias=False)
    first = torch.randn(3, 4)
    found = seen(nn.Sequential(cell, cell), first)
    assert torch.equal(found["0.weight", "mm"].rows, cell(first).detach())


def test_recurrent_layers_are_seen_gate_by_gate():
    found = seen(nn.GRU(5, 7, batch_first=True), torch.randn(3, 4, 5))
    fans = {parameter: shape[:2] for (parameter, _), shape in facts(found).items()}
    assert fans == {"weight_ih_l0": (5, 21), "weight_hh_l0": (7, 21)}


def test_few_rows_are_kept_of_many():
    (one,) = seen(nn.Linear(6, 4), torch.randn(1000, 6)).values()
    assert one.rows.shape == (16, 6)
    assert one.made.shape == (16, 4)
