"""Writers of residual streams: scaled as their siblings, by the depth where someone says so."""

import pytest
import torch
from support.starts import ids, named
from support.streams import WIDTH, Stack, batch
from torch import nn

from pytest_initcheck import diagnose
from pytest_initcheck.checks.depth_scaling import DepthScaling
from pytest_initcheck.checks.sibling_scales import Siblings
from pytest_initcheck.checks.stream_size import StreamSize
from pytest_initcheck.testing import sound_starts

COUNT = 6
CHECKS = [Siblings(), DepthScaling(), StreamSize()]


def judged(model, **options):
    return diagnose(model, batch(), steps=1, checks=CHECKS, **options)


def stack(change=None, *, count=COUNT, gain=1.0):
    torch.manual_seed(0)
    model = Stack(count=count, gain=gain)
    if change:
        with torch.no_grad():
            change(model)
    return model


def times(place, factor):
    def change(model):
        model.blocks[place].two.weight.mul_(factor)

    return change


def by_depth(model):
    for place, block in enumerate(model.blocks, 1):
        block.two.weight.div_(place)


def every_second(model):
    for block in model.blocks[::2]:
        block.two.weight.mul_(0.3)


def zeros(model):
    model.blocks[2].two.weight.zero_()


@pytest.mark.parametrize("factor", [10.0, 1.6, 0.5])
def test_one_unlike_its_siblings_is_an_error(factor):
    found = named(judged(stack(times(3, factor))), "IC407")

    assert (found.severity, found.layers) == ("error", ("blocks.3.two",))
    assert found.measured == pytest.approx(factor, rel=0.1)
    assert f"of {COUNT} blocks.*.two.weight {COUNT - 1} are drawn with" in found.cause


def test_its_remedy_makes_it_one_of_them():
    found = judged(stack(times(3, 10.0)))

    assert found.verdict == "fail"
    assert found.try_remedy().verdict == "pass"


@pytest.mark.parametrize(
    "change", [None, by_depth, every_second, zeros, times(2, 1.1)], ids=lambda c: str(c)[:20]
)
def test_laws_and_chance_pass(change):
    assert judged(stack(change)).verdict == "pass"


def missed(model):
    nn.Linear.reset_parameters(model.blocks[-1].two)
    for block in model.blocks[:-1]:
        nn.init.normal_(block.two.weight, std=0.05)


def test_an_end_counts_where_the_initialiser_missed_it():
    by_intent = judged(stack(times(COUNT - 1, 3.0)))
    by_mistake = judged(stack(missed))

    assert by_intent.verdict == "pass"
    assert named(by_mistake, "IC407").layer == f"blocks.{COUNT - 1}.two"


def test_the_ledger_tells_both_lines():
    def change(model):
        for block in model.blocks[:-1]:
            block.two.weight.mul_(0.4)

    found = named(judged(lambda: stack(change)), "IC407")

    assert found.severity == "error"
    assert "then multiplied by 0.4 at test_streams.py" in found.cause
    assert "xavier_normal_" in found.cause


def scaled(model):
    for block in model.blocks:
        nn.init.normal_(block.one.weight, std=0.02)
        nn.init.normal_(block.two.weight, std=0.02 / COUNT**0.5)


def unscaled(model):
    for block in model.blocks:
        nn.init.normal_(block.one.weight, std=0.02)
        nn.init.normal_(block.two.weight, std=0.02)


@pytest.mark.parametrize("asked", [True, 0.02])
def test_scaling_that_is_asked_for_is_verified(asked):
    found = judged(stack(unscaled), depth_scaled=asked)

    assert judged(stack(scaled), depth_scaled=asked).verdict == "pass"
    assert named(found, "IC409").severity == "error"
    assert named(found, "IC409").measured == pytest.approx(COUNT**0.5, rel=0.1)
    assert found.try_remedy().verdict == "pass"


@pytest.mark.parametrize("asked", [None, False])
def test_unscaled_writers_are_sound_by_themselves(asked):
    assert judged(stack(unscaled), depth_scaled=asked).verdict == "pass"


def test_another_deviation_is_not_the_one_that_is_asked_for():
    assert judged(stack(scaled), depth_scaled=0.03).verdict == "fail"


class Raw(nn.Module):
    """A stream that is normalised on its branches, and read as it is."""

    def __init__(self, gain, *, is_normalised):
        super().__init__()
        self.stack = Stack(count=COUNT, gain=gain)
        if not is_normalised:
            self.stack.norm = nn.Identity()

    def forward(self, x):
        return self.stack(x)


def test_a_stream_is_too_large_where_it_is_read_as_it_is():
    torch.manual_seed(0)
    found = judged(Raw(200.0, is_normalised=False))

    assert named(found, "IC408").severity == "warning"
    assert named(found, "IC408").measured > 100
    assert found.try_remedy().verdict in ("warn", "pass")
    assert "IC408" not in ids(judged(Raw(200.0, is_normalised=True)))
    assert "IC408" not in ids(judged(Raw(1.0, is_normalised=False)))


class Doubling(nn.Module):
    """Branches without a normalisation before them, and one at the end."""

    def __init__(self, gain):
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(24))
        self.norm, self.head = nn.LayerNorm(16), nn.Linear(16, 3)
        for layer in self.layers:
            nn.init.xavier_normal_(layer.weight, gain=gain)

    def forward(self, x):
        for layer in self.layers:
            x = x + layer(x)
        return self.head(self.norm(x))


def test_a_stream_that_grows_by_a_factor_is_lost_to_rounding():
    torch.manual_seed(0)
    found = judged(Doubling(2.0))

    assert "^L with its L = 24 additions" in named(found, "IC408").cause
    assert "lost to rounding" in named(found, "IC408").cause
    assert judged(Doubling(0.5)).verdict == "pass"


@pytest.mark.parametrize("start", sound_starts(), ids=lambda start: start.name)
def test_sound_starts_are_silent(start):
    model, data = start.made()

    assert diagnose(model, data, steps=1, checks=CHECKS).findings == []


def test_the_remedy_names_the_line_that_wrote_the_weight():
    found = named(judged(lambda: stack(times(3, 10.0))), "IC407")

    assert "(what is there now was written at streams.py:" in found.remedy
    assert "and test_streams.py:" in found.remedy
    assert named(judged(stack(times(3, 10.0))), "IC407").remedy in found.remedy


def test_scaling_by_the_depth_is_code_and_names_the_line_that_lacks_it():
    found = judged(lambda: stack(unscaled), depth_scaled=True)
    told = named(found, "IC409")

    assert "(what is there now was written at test_streams.py:" in told.remedy
    assert "normal_(mean=0, std=0.02) at test_streams.py:" in told.cause
    assert told.remedy_code
    assert found.try_remedy().verdict == "pass"


class Pairs(nn.Module):
    """Two branches to a block; the matrices of these roles are scaled by the depth."""

    def __init__(self, *scaled):
        super().__init__()
        self.first, self.second = stack(), stack()
        for name, matrix in self.named_parameters():
            branch, *_, layer, kind = name.split(".")
            if layer in ("one", "two") and kind == "weight":
                by_depth = (2 * COUNT) ** -0.5 if f"{branch} {layer}" in scaled else 1.0
                nn.init.normal_(matrix, std=0.02 * by_depth)

    def forward(self, x):
        for first, second in zip(self.first.blocks, self.second.blocks, strict=True):
            x = second(first(x))
        return self.first.head(self.first.norm(x))


def test_a_reader_that_is_scaled_in_place_of_the_writer():
    found = judged(Pairs("first two", "second one"))

    told = named(found, "IC409")
    assert told.layer == "second.blocks.0.two"
    assert "where second.blocks.*.one.weight is, which reads the stream" in told.cause
    assert found.try_remedy().verdict == "pass"
    assert judged(Pairs("first two", "second two")).verdict == "pass"
    assert judged(Pairs()).verdict == "pass"


class Narrow(nn.Module):
    """Beside each branch one through a single unit, whose matrices have few values."""

    def __init__(self):
        super().__init__()
        self.stack = stack()
        self.units = nn.ModuleList(
            nn.Sequential(nn.Linear(WIDTH, 1), nn.GELU(), nn.Linear(1, WIDTH)) for _ in range(COUNT)
        )
        for name, matrix in self.named_parameters():
            if matrix.ndim == 2 and "head" not in name:
                nn.init.normal_(matrix, std=0.012 if "units" in name else 0.02)

    def forward(self, x):
        for unit, block in zip(self.units, self.stack.blocks, strict=True):
            x = block(x)
            x = x + unit(block.norm(x))
        return self.stack.head(self.stack.norm(x))


def test_a_matrix_of_a_few_values_is_no_sign_of_scaling():
    for seed in range(3):
        torch.manual_seed(seed)
        assert judged(Narrow()).findings == []
