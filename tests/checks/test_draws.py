"""Draws that are not as draws are, and sound ones of many laws."""

from __future__ import annotations

import math

import pytest
import torch
from support import built as zoo
from support.starts import ids, labelled, named
from torch import nn

from pytest_initcheck import construction, diagnose
from pytest_initcheck.ledger.draws import draw_of


def weight(fill, rows=64, columns=64, dtype=torch.float32):
    """A factory of one layer whose weight is filled so."""

    def factory():
        layer = nn.Linear(columns, rows, bias=False, dtype=dtype)
        with torch.no_grad():
            fill(layer.weight)
        return layer

    return factory


def clamped(value):
    """What trunc_normal_ made of an infinity of erfinv: a bound far outside of the law."""
    nn.init.normal_(value, std=0.002)
    value.copy_(torch.where(torch.rand_like(value) < 1e-3, 2.0, value))


SOUND = {
    "normal": nn.init.normal_,
    "uniform": nn.init.uniform_,
    "orthogonal": nn.init.orthogonal_,
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.02),
    "Laplace": lambda w: w.copy_(torch.distributions.Laplace(0, 1).sample(w.shape)),
    "exponential": lambda w: w.exponential_(),
    "signs": lambda w: w.bernoulli_(0.5).mul_(2).sub_(1),
    "sparse": lambda w: nn.init.sparse_(w, 0.9),
    "blocks": lambda w: (w.normal_(), w[:8].normal_(std=100)),
    "a row set after": lambda w: (w.normal_(), w[0].fill_(50)),
    "identity": lambda w: nn.init.eye_(w),
    "constant": lambda w: w.fill_(3.0),
    "noise on one": lambda w: w.normal_().mul_(0.01).add_(1),
}


# On purpose, as far as anybody can tell: a note.
OFF_CENTRE = {"uniform", "exponential", "noise on one"}


@pytest.mark.parametrize("name", SOUND)
@pytest.mark.parametrize("size", [(8, 8), (300, 200)])
def test_sound_draws_pass(name, size):
    for seed in range(3):
        torch.manual_seed(seed)
        found = construction(weight(SOUND[name], *size)).findings
        assert [f.id for f in found] == ["IC137"] * (name in OFF_CENTRE)
        assert all(f.severity == "info" for f in found)


@pytest.mark.parametrize("law", ["randn", "exponential", "Laplace"])
def test_the_limit_of_outliers_holds_for_draws_of_any_size(law):
    draws = {
        "randn": torch.randn,
        "exponential": lambda n: torch.empty(n).exponential_(),
        "Laplace": lambda n: torch.distributions.Laplace(0, 1).sample((n,)),
    }
    for n in (64, 256, 10_000, 1_000_000):
        for seed in range(5):
            torch.manual_seed(seed)
            draw = draw_of(draws[law](n))
            assert draw.tail < math.log(n / 1e-6) / math.log(1 / draw.tail_share)


def test_outliers_that_blow_up_the_deviation_are_seen_beside_it():
    def bound(value):
        """What bfloat16 made of erfinv: one value in 250 at the bound."""
        nn.init.normal_(value, std=0.01)
        value.copy_(torch.where(torch.rand_like(value) < 4e-3, -2.0, value))

    torch.manual_seed(0)
    assert ids(construction(weight(bound, 64, 64))) == ["IC114"]


def test_an_outlier_that_no_draw_has():
    torch.manual_seed(0)
    found = named(construction(weight(clamped)), "IC114")

    assert found.severity == "warning"
    assert found.measured > found.limit
    assert "weight (normal_(mean=0, std=0.002)" in found.cause or "where" in found.cause


@pytest.mark.parametrize("axis", [0, 1])
def test_shards_that_were_drawn_from_one_seed(axis):
    def sharded(value):
        part = torch.randn(value.shape[0] // 4, value.shape[1])
        whole = torch.cat([part] * 4)
        value.copy_(whole if axis == 0 else whole.t())

    found = named(construction(weight(sharded)), "IC115")

    assert found.measured == 16
    assert found.limit == 0


def test_a_seed_that_is_set_in_every_module():
    class Layer(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.weight = nn.Parameter(torch.randn(8, 8))

    made = construction(lambda: nn.ModuleList([Layer(), Layer(), nn.Linear(8, 8)]))

    found = named(made, "IC116")
    assert found.layers == ("0", "1")
    assert made.of("0.weight").twins == ("1.weight",)


def test_copies_and_ties_are_no_second_draw():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    made = construction(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 3)
    )

    assert "IC116" not in ids(made)
    assert construction(lambda: nn.TransformerEncoder(layer, 2)).findings == ()
    assert construction(zoo.Tied).findings == ()


def test_a_deviation_below_the_unit_of_the_dtype():
    def tiny(value):
        nn.init.normal_(value, 1.0, 1e-3)

    assert "IC117" in ids(construction(weight(tiny, dtype=torch.bfloat16)))
    assert ids(construction(weight(tiny))) == ["IC137"]


def test_draws_are_measured_where_they_can_be():
    made = construction(lambda: nn.ModuleList([nn.Linear(2, 2), nn.Linear(64, 64)]))

    assert made.of("0.weight").draw is None
    assert made.of("1.weight").draw.distinct == 64
    assert made.of("1.weight").draw.outlier == pytest.approx(math.sqrt(3), rel=0.05)


LAWS = {
    "normal": nn.init.normal_,
    "uniform": lambda w: nn.init.uniform_(w, -1, 1),
    "from one": lambda w: w.uniform_(-1, 3),
    "He": lambda w: nn.init.kaiming_uniform_(w),
    "truncated": lambda w: nn.init.trunc_normal_(w, std=0.02),
    "truncated at once": lambda w: nn.init.trunc_normal_(w, std=1, a=-1, b=1),
    "scaled": lambda w: w.copy_(torch.randn_like(w) * 0.02),
    "by a method": lambda w: w.normal_(0, 0.1).mul_(3),
}


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_draws_are_as_their_laws_say(name, dtype):
    for seed in range(2):
        torch.manual_seed(seed)
        assert "IC136" not in ids(construction(weight(LAWS[name], 128, 64, dtype)))


def behind_its_back(change):
    """A draw that something changes which no dispatcher sees, as a broken kernel would.

    But for the three words by which the ledger sees what is written past torch.
    """

    def fill(value):
        nn.init.normal_(value, std=0.02)
        with torch.utils._python_dispatch._disable_current_modes():
            flat = value.view(-1)
            middle = (flat.nbytes - 8 >> 1 & -8) // flat.element_size()
            words = [0, 1, middle, middle + 1, -2, -1]
            held = flat[words].clone()
            change(value)
            flat[words] = held

    return fill


@pytest.mark.parametrize(
    "change", [lambda w: w.add_(0.002), lambda w: w[:4].mul_(8), lambda w: w.abs_()]
)
def test_a_draw_unlike_its_law(change):
    torch.manual_seed(0)
    found = named(construction(weight(behind_its_back(change), 128, 64)), "IC136")

    assert found.severity == "warning"
    assert found.measured > found.limit
    assert "drawn by fill() as normal_(mean=0, std=0.02) at test_draws.py:" in found.cause


def test_weights_that_are_all_positive_are_an_error_where_they_do_harm():
    def deep(draw, depth):
        layers = [nn.Linear(32, 32) for _ in range(depth)]
        for layer in layers:
            draw(layer.weight)
        return nn.Sequential(*(m for layer in layers for m in (layer, nn.ReLU())), nn.Linear(32, 4))

    batch = labelled(32, 4)
    bad = diagnose(lambda: deep(nn.init.uniform_, 8), batch)
    assert bad.verdict == "fail"
    assert (bad.findings[0].id, bad.findings[0].severity) == ("IC137", "error")
    shallow = diagnose(lambda: deep(lambda w: nn.init.uniform_(w, 0, 0.05), 1), batch)
    assert named(shallow, "IC137").severity == "info"
    assert "IC137" not in ids(diagnose(lambda: deep(nn.init.kaiming_normal_, 8), batch))
