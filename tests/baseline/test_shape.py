"""The shape of what was drawn, the rows of data, and changes that are real and small."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.baseline import histogram, network, stats
from support.comparing import keys, started

from pytest_initcheck import InitcheckError, report
from pytest_initcheck.baseline import compare, freeze, tolerance
from pytest_initcheck.baseline.compare import BUDGET, FAMILY
from pytest_initcheck.baseline.format import parse, render
from pytest_initcheck.baseline.samples import is_determined
from pytest_initcheck.capture.deferred_read import DeferredRead
from pytest_initcheck.capture.tensor_stats import summarise
from pytest_initcheck.records import (
    Entry,
    Histogram,
    LayerRecord,
    ModelRecord,
    RunRecord,
    SessionRecord,
    TestRecord,
)

SHAPE = (64, 64)
DRAWS = {
    "normal": lambda rng, shape: rng.normal(0, 0.1, shape),
    "uniform": lambda rng, shape: rng.uniform(-0.1, 0.1, shape) * math.sqrt(3),
    "laplace": lambda rng, shape: rng.laplace(0, 0.1 / math.sqrt(2), shape),
    "truncated": lambda rng, shape: np.clip(rng.normal(0, 0.1, shape), -0.2, 0.2),
}


def weighed(values):
    one = LayerRecord(name="a", kind="Linear", weights={"weight": stats(values)})
    return RunRecord(before=ModelRecord(layers=(one,)))


def drawn(name, seed, shape=SHAPE):
    return weighed(DRAWS[name](np.random.default_rng(seed), shape))


def given_data(values, effective=None, targets=None):
    """A record of inputs alone, with what their rows say."""
    ledger = DeferredRead()
    tensors = [torch.as_tensor(v) for v in (values, targets) if v is not None]
    made = [summarise(tensor, ledger, is_data=True) for tensor in tensors]
    ledger.read()
    inputs, *more = (summary.stats(ledger) for summary in made)
    model = ModelRecord(
        inputs=inputs, targets=more[0] if more else None, effective_samples=effective
    )
    return RunRecord(before=model)


# The shape of weights


@pytest.mark.parametrize(("was", "now"), [("uniform", "normal"), ("normal", "uniform")])
def test_another_distribution_of_the_same_size_is_told_by_its_kurtosis(was, now):
    for seed in range(10):
        told = keys(compare(drawn(now, seed), drawn(was, seed + 100)))
        assert "before layer 'a' weights.weight kurtosis" in told
        assert not any(key.endswith((" std", " mean")) for key in told)


@pytest.mark.parametrize("name", DRAWS)
def test_one_distribution_matches_itself(name):
    pairs = ((drawn(name, 2 * i), drawn(name, 2 * i + 1)) for i in range(200))
    assert [keys(found) for a, b in pairs if (found := compare(a, b)).differences] == []


def test_few_weights_have_no_shape():
    small = tolerance.FEWEST_FOR_SHAPE // 32 - 1, 32
    found = compare(drawn("uniform", 0, small), drawn("laplace", 1, small))
    assert not any("kurtosis" in key for key in keys(found))


@pytest.mark.parametrize("name", DRAWS)
def test_the_spread_of_a_kurtosis_is_the_one_that_is_told(name):
    rng, n = np.random.default_rng(0), 4096
    found = [tolerance.kurtosis(histogram(DRAWS[name](rng, n))) for _ in range(300)]
    seen = np.std([kurtosis for kurtosis, _ in found])
    told = math.sqrt(np.median([spread for _, spread in found]) / n)
    assert told == pytest.approx(seen, rel=0.35)


def test_the_kurtosis_of_known_distributions():
    rng = np.random.default_rng(0)
    for name, wanted in (("normal", 3.0), ("uniform", 1.8)):
        kurtosis, _ = tolerance.kurtosis(histogram(DRAWS[name](rng, 200_000), 64))
        assert kurtosis == pytest.approx(wanted, rel=0.05)
    assert tolerance.kurtosis(Histogram(0.0, 0.0, (5, *[0] * 31))) == (3.0, 24.0)
    assert tolerance.kurtosis(Histogram(0.0, 1.0, ())) == (3.0, 24.0)


@given(st.floats(1e-12, 0.1), st.floats(0, 1e6))
def test_kurtoses_may_lie_farther_apart_the_surer_one_is(alpha, error):
    allowed = tolerance.kurtoses(alpha, error)
    assert 0.05 <= allowed <= tolerance.kurtoses(alpha / 10, error) < math.inf
    assert allowed <= tolerance.kurtoses(alpha, 2 * error)


# Outliers and heavy tails


def test_data_with_heavy_tails_have_no_extremes():
    def heavy(seed, spike=1.0):
        values = np.random.default_rng(seed).standard_t(2.5, (256, 20))
        values[0, 0] *= spike
        return given_data(values.astype("float32"))

    pairs = [(heavy(seed), heavy(seed + 50)) for seed in range(20)]
    for a, b in (*pairs, (heavy(0, 1e3), heavy(1))):
        assert not any(key.endswith((" min", " max")) for key in keys(compare(a, b)))


def test_one_outlier_among_weights_is_told_though_it_makes_heavy_tails():
    values = DRAWS["normal"](np.random.default_rng(0), SHAPE)
    values[0, 0] = 5.0
    assert tolerance.kurtosis(histogram(values))[0] > tolerance.HEAVY
    told = keys(compare(weighed(values), drawn("normal", 1)))
    assert "before layer 'a' weights.weight max" in told


# Data by their rows


def test_rows_with_a_shift_of_their_own_are_no_change():
    def shifted(seed):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(64, 300)) + 2 * rng.normal(size=(64, 1))
        return given_data(values.astype("float32"))

    found = [compare(shifted(seed), shifted(seed + 100)) for seed in range(40)]
    assert [keys(one) for one in found if one.differences] == []


def test_four_rows_say_little_of_how_rows_differ():
    def shifted(seed):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(4, 300)) + 0.3 * rng.normal(size=(4, 1))
        return given_data(values.astype("float32"))

    found = [compare(shifted(seed), shifted(seed + 1000)) for seed in range(300)]
    assert not [one for one in found if "before inputs mean" in keys(one)]


def test_what_moves_all_rows_is_a_change():
    def plain(seed, shift=0.0, scale=1.0):
        values = np.random.default_rng(seed).normal(shift, scale, (64, 300))
        return given_data(values.astype("float32"))

    for seed in range(10):
        assert "before inputs mean" in keys(compare(plain(seed, 0.5), plain(seed + 100)))
        assert "before inputs std" in keys(compare(plain(seed, 0.0, 1.5), plain(seed + 100)))
        assert compare(plain(seed), plain(seed + 100)).status == "match"


def test_fewer_effective_samples_allow_more():
    def moved(effective, shift):
        values = np.random.default_rng(1).normal(shift, 1, (64, 4)).astype("float32")
        return given_data(values, effective)

    assert "before inputs mean" in keys(compare(moved(64.0, 1.5), moved(64.0, 0.0)))
    assert compare(moved(4.0, 1.5), moved(4.0, 0.0)).status == "match"


def test_integers_are_compared_by_their_shares_and_not_by_their_moments():
    def labels(seed, classes):
        inputs = np.random.default_rng(0).normal(size=(512, 4)).astype("float32")
        return given_data(inputs, 512.0, np.random.default_rng(seed).choice(classes, 512))

    assert compare(labels(1, [0, 1, 2]), labels(2, [0, 1, 2])).status == "match"
    # One label of a million, by chance.
    rare = [0, 1] * 500 + [10**6]
    assert compare(labels(3, rare), labels(4, [0, 1])).status == "match"
    told = keys(compare(labels(1, [0, 7]), labels(2, [3, 4, 7])))
    assert told
    assert all(key.startswith("before targets ") for key in told)
    assert not any(key.endswith((" mean", " std", " min", " max")) for key in told)


@given(st.floats(0.01, 100), st.floats(0.1, 10), st.floats(1, 50))
def test_a_widened_bound_lies_farther_on_the_same_side(around, ratio, factor):
    bound = around * ratio
    wide = tolerance.widened(bound, around, factor)
    assert math.log(wide / around) == pytest.approx(
        max(min(math.log(ratio) * factor, 300), -300), rel=1e-6, abs=1e-9
    )
    assert tolerance.widened(bound, around, 1.0) == bound


@pytest.mark.parametrize(("bound", "around"), [(0.0, 1.0), (math.inf, 1.0), (1.0, 0.0)])
def test_a_bound_without_a_logarithm_stays(bound, around):
    assert tolerance.widened(bound, around, 3.0) == bound


# Practical size


def large(factor, seed=0):
    """Statistics of ten million weights."""
    values = np.random.default_rng(seed).normal(0, 0.1, SHAPE) * factor
    one = dataclasses.replace(stats(values), n=10**7, shape=(10**4, 10**3))
    wide = dataclasses.replace(one.histogram, counts=tuple(16 * c for c in one.histogram.counts))
    one = dataclasses.replace(one, histogram=wide)
    layer = LayerRecord(name="a", kind="Linear", weights={"weight": one})
    return RunRecord(before=ModelRecord(layers=(layer,)))


def test_a_real_change_below_the_least_size_is_a_note():
    key = "before layer 'a' weights.weight std"
    found = compare(large(1.01), large(1.0))
    assert found.status == "match"
    (note,) = found.notes
    assert note.startswith("1 value differs by more than chance and by less than 2 %: ")
    assert key in note
    strict = compare(large(1.01), large(1.0), least=0.0)
    assert (strict.status, strict.notes) == ("changed", ())
    assert key in keys(strict)
    assert key in keys(compare(large(1.03), large(1.0)))
    assert compare(large(1.03), large(1.0), least=0.05).status == "match"


def test_no_size_lets_a_form_pass():
    a, b = large(1.0), weighed(np.zeros(3))
    assert "before layer 'a' weights.weight shape" in keys(compare(a, b, least=1e9))


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf])
def test_a_least_size_that_is_none_is_refused(bad):
    with pytest.raises(InitcheckError, match="least"):
        compare(RunRecord(), RunRecord(), least=bad)


# The budget


def test_a_session_of_two_hundred_tests_errs_once_in_a_thousand():
    assert math.isclose(200 * FAMILY, 1e-3)
    assert set(BUDGET) == {"metrics", "weights", "signals"}


def test_a_metric_is_judged_alike_however_many_layers_a_record_has():
    def run(final, layers):
        rng = np.random.default_rng(0)
        values = tuple(final + rng.normal(0, 0.01, 8))
        widths = (8, *[16] * layers, 3)
        return dataclasses.replace(
            network(0, widths), seeds=tuple(range(8)), metrics={"accuracy": values}, curves={}
        )

    def excess(layers):
        (found,) = compare(run(0.7, layers), run(0.9, layers)).differences
        assert found.key == "metric accuracy"
        return found.excess

    few, many = excess(1), excess(12)
    assert many == pytest.approx(few, rel=1e-9)
    alone = RunRecord(seeds=tuple(range(8)))
    records = (dataclasses.replace(alone, metrics=run(f, 1).metrics) for f in (0.7, 0.9))
    assert compare(*records).differences[0].excess >= few


# To files and back


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 99))
def test_what_decides_a_comparison_comes_back_from_a_file(seed):
    record = started(seed=seed)
    stored = freeze(record)
    back = parse(render({"t": {"e": stored}}), "a.json")["t"]["e"].record.before
    kept = stored.record.before
    for name in ("digests", "operations", "wiring", "effective_samples"):
        assert getattr(back, name) == getattr(kept, name) not in (None, "", {}), name
    assert back.digests == record.before.digests
    assert back.operations == record.before.operations
    assert back.inputs.independent == kept.inputs.independent != ()
    assert back.layer("0").weights["weight"].digest == kept.layer("0").weights["weight"].digest
    assert len(back.layer("0").weights["weight"].digest) == 16


def test_it_comes_back_from_run_json_too(tmp_path):
    record = started()
    entry = Entry(name="start", kind="diagnosis", record=record)
    tests = (TestRecord(nodeid="test_a.py::test_a", entries=(entry,)),)
    file = tmp_path / "run.json"
    file.write_text(report.run_json(SessionRecord(1, {}, tests)), encoding="utf-8")
    (back,) = (entry.record for test in report.read_run(file).tests for entry in test.entries)
    assert back.before == record.before
    assert back.after == record.after
    # What is accepted from there is determined like what was recorded.
    assert is_determined(freeze(back).record.before, freeze(started()).record.before)
