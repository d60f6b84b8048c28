"""Equal weights, data and streams leave nothing to chance but rounding; anything else does."""

from __future__ import annotations

import dataclasses
import functools

import pytest
import torch
from support.baseline import network, stats
from support.comparing import keys, kinds, rows, started
from support.fields import rebuilt
from torch import nn
from torch.nn import functional as F

from pytest_initcheck.baseline import compare, freeze
from pytest_initcheck.baseline.judge import RTOL, Fixed
from pytest_initcheck.baseline.samples import is_determined, rounding, weights_equal
from pytest_initcheck.records import LayerRecord, ModelRecord, TensorStats

# Numbers that no one wrote: 1 and a little, told as "~".
NEARLY, ROUNDING, TOO_FAR = 1 + 1 / 7e7, 1 + 2e-6 / 1.1, 1 + 1 / 1.1e3


class Net(nn.Module):
    """Three layers, with a factor, noise, a norm or a skip between them."""

    def __init__(self, factor=1.0, noise=0.0, *, has_norm=True, has_skip=True, is_swapped=False):
        super().__init__()
        self.first, self.second = nn.Linear(16, 32), nn.Linear(32, 32)
        self.third, self.head = nn.Linear(32, 32), nn.Linear(32, 5)
        self.factor, self.noise = factor, noise
        self.has_norm, self.has_skip, self.is_swapped = has_norm, has_skip, is_swapped

    def forward(self, x):
        h = F.relu(self.first(x)) * self.factor
        if self.noise:
            h = h + self.noise * torch.randn_like(h)
        if self.has_norm:
            h = F.layer_norm(h, (32,))
        second, third = (self.second, self.third)[:: -1 if self.is_swapped else 1]
        inner = F.relu(third(F.relu(second(h))))
        return self.head(h + inner if self.has_skip else inner)


def of(*args, seed=0, state=None, **options):
    return started(lambda: Net(*args, **options), seed=seed, state=state)


@functools.cache
def plain(seed=0):
    return of(seed=seed)


WHY = "weights and data are those of the baseline, so that only rounding is allowed"


# What is determined


def test_the_same_seed_and_data_match():
    found = compare(of(), freeze(plain()))
    assert (found.status, found.notes) == ("match", ())
    assert found.compared > 200


def test_a_thousandth_in_the_forward_pass_is_a_change():
    found = compare(of(1.001, has_norm=False), of(has_norm=False))
    assert keys(found)[:2] == ["before operation mul(1)", "before operation mul(1.001)"]
    assert "before layer 'first' activations std" not in keys(found)
    assert "after outputs std" not in keys(found)
    # A factor that nobody wrote is seen by what it does.
    hidden = compare(of(TOO_FAR, has_norm=False), of(NEARLY, has_norm=False))
    assert not any("operation" in key for key in keys(hidden))
    assert {"before outputs std", "before loss", "curve loss, point 1 of 6"} & set(keys(hidden))
    assert WHY in hidden.notes


def test_a_program_that_was_written_anew_and_gives_the_same_numbers_has_not_changed():
    # A normalisation takes the factor out again.
    assert compare(of(1.001), plain()).status == "match"


def test_a_change_of_the_size_of_rounding_is_none():
    found = compare(of(ROUNDING, has_norm=False), of(NEARLY, has_norm=False))
    assert (found.status, found.notes) == ("match", ())


def test_the_number_of_threads_is_none():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        other = of()
    finally:
        torch.set_num_threads(before)
    assert is_determined(other.before, plain().before)
    assert compare(other, plain()).status == "match"


def test_a_change_that_fresh_weights_hide_is_seen_where_they_are_the_same():
    factor = 1 + 1 / 70
    same = compare(of(factor, has_norm=False), of(NEARLY, has_norm=False))
    fresh = compare(of(factor, has_norm=False, seed=5), of(NEARLY, has_norm=False))
    assert (same.status, fresh.status) == ("changed", "match")


class Damped(torch.optim.SGD):
    """Steps of which nobody can read the size off the settings."""

    share = 1.0

    def step(self, closure=None):
        before = [p.detach().clone() for p in self.param_groups[0]["params"]]
        super().step(closure)
        with torch.no_grad():
            for parameter, was in zip(self.param_groups[0]["params"], before, strict=True):
                parameter.sub_(was).mul_(self.share).add_(was)


def stepped(share, steps):
    kind = type("Damped", (Damped,), {"share": share})
    return started(Net, steps=steps, optimizer=lambda p: kind(p, lr=0.1))


@pytest.mark.parametrize(("steps", "status"), [(5, "changed"), (10, "changed"), (11, "match")])
def test_losses_of_few_steps_are_determined(steps, status):
    found = compare(stepped(0.95, steps), stepped(1.0, steps))
    assert found.status == status
    assert {key.partition(",")[0] for key in keys(found)} <= {"curve loss"}


def test_losses_after_another_choice_follow_from_it():
    sgd = {"optimizer": lambda p: torch.optim.SGD(p, lr=1e-2, weight_decay=1e-3)}
    assert keys(compare(started(Net, **sgd), plain())) == ["configured optimizer"]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_dtypes_round_otherwise(dtype):
    def record(factor):
        inputs, targets = rows(0)
        batch = inputs.to(dtype), targets
        return started(lambda: Net(factor, has_norm=False).to(dtype), batch=batch)

    assert compare(record(NEARLY), record(NEARLY)).status == "match"
    assert compare(record(1.25), record(NEARLY)).status == "changed"


# What is chance


def test_noise_from_another_place_of_the_stream_is_chance():
    noisy = of(noise=0.5, state=1)
    assert compare(of(noise=0.5, state=1), noisy).status == "match"
    other = of(noise=0.5, state=2)
    assert weights_equal(other.before, noisy.before)
    assert not is_determined(other.before, noisy.before)
    assert compare(other, noisy).status == "match"
    # As determined values they would differ by far.
    assert compare(other, noisy, rtol=1e-4).status == "changed"


@pytest.mark.parametrize("part", ["weights", "batch", "buffers"])
def test_another_start_is_not_determined(part):
    def record(is_other):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 5))
        if is_other and part == "weights":
            model[0].weight.data[0, 0] += 1e-6
        if is_other and part == "buffers":
            model[1].running_mean[3] = 1e-6
        batch = rows(1 if is_other and part == "batch" else 0)
        return started(lambda: model, batch=batch)

    first, again, other = record(False), record(False), record(True)
    assert is_determined(first.before, again.before)
    assert not is_determined(first.before, other.before)
    assert weights_equal(first.before, other.before) == (part != "weights")
    assert compare(other, first).status == "match"


def test_a_stream_that_nobody_draws_from_is_no_matter():
    assert "streams" not in plain().before.digests
    assert compare(of(state=3), of(state=4)).status == "match"
    assert is_determined(of(state=3).before, of(state=4).before)


def without(record, *names):
    """The record as an older version stored it."""

    def model(found):
        fields = {n: type(getattr(found, n))() for n in names if hasattr(found, n)}
        return dataclasses.replace(found, **fields)

    def tensor(found):
        return dataclasses.replace(found, digest="", independent=())

    return rebuilt(rebuilt(record, ModelRecord, model), TensorStats, tensor)


def older(record):
    bare = without(record, "digests", "operations", "wiring")
    return rebuilt(bare, ModelRecord, lambda m: dataclasses.replace(m, effective_samples=None))


@pytest.mark.parametrize("seed", [0, 7], ids=["same", "fresh"])
def test_an_older_record_is_compared_without_what_it_lacks(seed):
    old = freeze(older(plain()))
    found = compare(of(seed=seed), old)
    assert (found.status, found.differences) == ("match", ())
    assert not is_determined(plain().before, old.record.before)
    # The operations are unknown there, and so is what was swapped.
    assert compare(of(1.001, seed=seed), old).status == "match"
    assert "before layer 'second' weights.weight std" in keys(compare(heavier(seed), old))


def heavier(seed):
    def make():
        model = Net()
        model.second.weight.data *= 2
        return model

    return started(make, seed=seed)


# What the forward pass is made of


@pytest.mark.parametrize("seed", [0, 9], ids=["same", "fresh"])
@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"has_norm": False}, "before operation native_layer_norm"),
        ({"has_skip": False}, "before operation add"),
        ({"is_swapped": True}, "before order of operations"),
        ({"factor": 0.5}, "before operation mul(0.5)"),
    ],
)
def test_what_was_removed_or_moved_is_told(options, wanted, seed):
    found = compare(of(**options, seed=seed), plain())
    told = [key for key in keys(found) if "operation" in key]
    assert any(key.startswith(wanted) for key in told), told
    assert all(d.allowed == "equal" for d in found.differences if "operation" in d.key)


def test_a_module_that_does_the_same_is_no_difference():
    class Other(Net):
        def forward(self, x):
            h = torch.relu(self.first(x)) * self.factor
            h = torch.layer_norm(h, (32,))
            return self.head(h + self.third(self.second(h).relu()).relu())

    assert compare(started(Other), plain()).status == "match"


def test_numbers_of_many_digits_are_no_operations():
    found = compare(of(1 / 3, seed=4), of(2 / 7, seed=8))
    assert not any("operation" in key for key in keys(found))


# The rules alone


def record_of(**layers):
    return ModelRecord(
        layers=tuple(LayerRecord(name=n, kind="Linear", weights=w) for n, w in layers.items()),
        digests={"batch": "b"},
    )


def marked(values, digest):
    return dataclasses.replace(stats(values), digest=digest)


def test_weights_are_equal_by_their_digests_whatever_was_rounded():
    a = record_of(fc={"weight": marked([1.0, 2.0], "d")})
    b = record_of(fc={"weight": marked([1.0, 2.0000001], "d")})
    other = record_of(fc={"weight": marked([1.0, 2.0000001], "e")})
    more = record_of(fc={"weight": marked([1.0, 2.0], "d"), "bias": marked([0.0], "f")})
    assert weights_equal(a, b)
    assert is_determined(a, b)
    assert not any(weights_equal(a, x) or is_determined(a, x) for x in (other, more))


def test_weights_without_digests_are_equal_by_their_moments():
    a, b = network(0).before, network(0).before
    assert weights_equal(a, b)
    assert not weights_equal(a, network(1).before)
    assert not is_determined(a, b)
    lacking = record_of(fc={"weight": stats([1.0, 2.0])})
    assert not is_determined(lacking, lacking)
    # Two records without weights do not have equal ones by that alone.
    assert not weights_equal(record_of(fc={}), record_of(fc={"w": stats([1.0])}))


@pytest.mark.parametrize(
    ("dtype", "allowed"),
    [
        ("float32", 1e-4), ("float64", 1e-4), ("float16", 4 * 2.0**-10),
        ("bfloat16", 4 * 2.0**-7), ("float8_e5m2", 1.0),
    ],
)  # fmt: skip
def test_what_rounding_may_do_is_a_few_units(dtype, allowed):
    model = record_of(fc={"weight": stats([1.0, 2.0], dtype=dtype), "bias": stats([0.0])})
    assert rounding(model) == Fixed(max(RTOL, allowed), 0.0, is_rounding=True)


def test_rounding_may_carry_one_unit_over_a_limit_and_a_tolerance_may_not():
    assert Fixed(1e-4, 0.0, is_rounding=True).of_share(32) == 1.5 / 32
    assert Fixed(1e-4, 0.0, is_rounding=True).of_share(10**6) == pytest.approx(1e-4)
    assert Fixed(1e-4, 0.0).of_share(32) == pytest.approx(1e-4)


def test_histograms_are_left_out_where_only_rounding_is_allowed():
    moved = rebuilt(plain(), TensorStats, edge_moved)
    assert compare(moved, plain()).status == "match"
    assert "before layer … activations histogram distance" in kinds(
        compare(moved, plain(), rtol=1e-4, atol=0.0)
    )


def edge_moved(found):
    """With one value in the next bin of the histogram."""
    histogram = found.histogram
    if histogram is None or not histogram.counts[0]:
        return found
    first, second, *rest = histogram.counts
    counts = (0, second + first, *rest)
    return dataclasses.replace(found, histogram=dataclasses.replace(histogram, counts=counts))
