"""What counts as a change: simulated re-runs match, real changes are found and told apart."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.baseline import PROVENANCE, kaiming, network, records, stats

from pytest_initcheck import InitcheckError
from pytest_initcheck.baseline import compare, freeze
from pytest_initcheck.records import Histogram, LayerRecord, ModelRecord, RunRecord, UnitStats


def keys(comparison):
    return [difference.key for difference in comparison.differences]


def with_layer(record: RunRecord, index: int, **fields: object) -> RunRecord:
    layers = list(record.before.layers)
    layers[index] = dataclasses.replace(layers[index], **fields)
    return dataclasses.replace(
        record, before=dataclasses.replace(record.before, layers=tuple(layers))
    )


# Equal and fresh records


@settings(max_examples=80, deadline=None)
@given(records)
def test_equal_records_match(record):
    for stored in (record, freeze(record, PROVENANCE)):
        found = compare(record, stored)
        assert (found.status, found.differences) == ("match", ())


@settings(max_examples=40, deadline=None)
@given(records)
def test_equal_records_match_at_the_tightest_tolerance(record):
    assert compare(record, record, rtol=0.0, atol=0.0).status == "match"


@settings(max_examples=60, deadline=None)
@given(records, records)
def test_any_two_records_compare_without_a_fault(a, b):
    found = compare(a, b)
    assert (found.status == "match") == (not found.differences)
    excesses = [difference.excess for difference in found.differences]
    assert excesses == sorted(excesses, reverse=True)
    assert all(excess > 1 for excess in excesses)
    assert compare(b, a, rtol=0.1).status in ("match", "changed")


@pytest.mark.parametrize(
    ("widths", "batch"),
    [((32, 64, 64, 10), 64), ((8, 16, 3), 16), ((1, 2, 1), 8), ((16, *[32] * 6, 4), 8)],
)
def test_fresh_weights_and_data_match(widths, batch):
    made = [network(seed, widths, batch=batch) for seed in range(16)]
    pairs = list(itertools.combinations(made, 2))
    changed = [found for a, b in pairs[::2] if (found := compare(a, b)).differences]
    assert len(changed) <= 0.01 * len(pairs[::2]), [keys(found) for found in changed]


def test_fresh_seeds_match():
    rng = np.random.default_rng(0)

    def run():
        values = tuple(rng.normal(0.9, 0.02, 8))
        curves = tuple(tuple(np.exp(-np.arange(20) / 5) + rng.normal(0, 0.05, 20)) for _ in values)
        return RunRecord(
            seeds=tuple(range(8)), curves={"loss": curves}, metrics={"accuracy": values}
        )

    made = [run() for _ in range(24)]
    pairs = list(itertools.combinations(made, 2))
    assert sum(compare(a, b).status == "changed" for a, b in pairs) <= 0.01 * len(pairs)


def test_few_seeds_that_agree_by_chance_are_no_certainty():
    def run(final, *curves):
        return RunRecord(
            seeds=(0, 1), curves={"accuracy": curves}, metrics={"accuracy": (final, final)}
        )

    a = run(0.9, (0.5, 0.8, 0.9), (0.6, 0.8, 0.9))
    b = run(0.8, (0.5, 0.6, 0.8), (0.6, 0.7, 0.8))
    assert compare(a, b).status == "match"
    # Without anything that the seeds move, equal values over seeds are certain.
    certain = RunRecord(seeds=(0, 1), metrics={"accuracy": (0.9, 0.9)})
    other = RunRecord(seeds=(0, 1), metrics={"accuracy": (0.8, 0.8)})
    assert keys(compare(certain, other)) == ["metric accuracy"]


# Changes that must be found


def test_another_initialisation_is_found():
    for seed in range(5):
        found = compare(network(seed, init=kaiming), network(seed + 50))
        assert found.status == "changed"
        assert "before layer 'layers.1' weights.weight std" in keys(found)


def test_a_factor_of_1_2_on_a_matrix_of_256_is_found():
    widths = (64, 256, 256, 10)
    for seed in range(4):
        found = compare(network(seed, widths, gain=1.2), network(seed + 50, widths))
        assert found.differences[0].key.endswith("weights.weight std")
        assert found.differences[0].excess > 3


def test_a_zeroed_bias_is_found():
    record = network(1)
    bias = stats(np.zeros(64))
    weights = {**record.before.layers[1].weights, "bias": bias}
    found = compare(with_layer(record, 1, weights=weights), network(2))
    assert found.differences[0].key == "before layer 'layers.1' weights.bias all zero"
    assert compare(network(2), with_layer(record, 1, weights=weights)).status == "changed"


def test_gradients_that_vanish_are_found():
    record = network(1)
    gradients = {"weight": stats(np.zeros((64, 32))), "bias": stats(np.zeros(64))}
    found = compare(with_layer(record, 0, gradients=gradients), network(2))
    assert "before layer 'layers.0' gradients.weight all zero" in keys(found)


def test_all_units_of_a_tiny_layer_may_be_off_by_chance():
    silent = stats(np.zeros((8, 2)))
    alive = stats(np.abs(np.random.default_rng(0).normal(size=(8, 2))))
    a, b = (
        RunRecord(
            before=ModelRecord(
                layers=(LayerRecord(name="a", kind="Linear", nonlinearity="relu", activations=t),)
            )
        )
        for t in (silent, alive)
    )
    assert compare(a, b).status == "match"


@pytest.mark.parametrize(
    ("field", "value", "key"),
    [("dtype", "float64", "dtype"), ("shape", (32, 64), "shape"), ("nonfinite", 1, "nonfinite")],
)
def test_dtype_shape_and_nan_are_always_differences(field, value, key):
    record = network(0)
    weight = dataclasses.replace(record.before.layers[0].weights["weight"], **{field: value})
    changed = with_layer(record, 0, weights={**record.before.layers[0].weights, "weight": weight})
    for a, b in ((record, changed), (changed, record)):
        found = compare(a, b, rtol=10.0, atol=10.0)
        assert f"before layer 'layers.0' weights.weight {key}" in keys(found)
        assert math.isinf(found.differences[0].excess)


def test_a_renamed_layer_is_a_removed_and_an_added_one():
    record = network(0)
    found = compare(with_layer(record, 1, name="hidden"), record)
    assert keys(found) == ["before layer 'hidden'", "before layer 'layers.1'"]
    assert [d.actual for d in found.differences] == ["Linear", "absent"]


@pytest.mark.parametrize("field", ["kind", "nonlinearity"])
def test_another_kind_or_nonlinearity_is_a_difference(field):
    record = network(0)
    found = compare(with_layer(record, 0, **{field: "other"}), record)
    assert keys(found) == [f"before layer 'layers.0' {field}"]


def test_another_number_of_units_and_dead_units_are_differences():
    record = network(0)
    assert "before layer 'layers.0' units" in keys(
        compare(with_layer(record, 0, units=UnitStats(count=65)), record)
    )
    assert keys(
        compare(with_layer(record, 0, units=UnitStats(count=64, dead_share=0.9)), record)
    ) == ["before layer 'layers.0' dead_share"]


@pytest.mark.parametrize("side", ["activations", "activation_gradients", "units"])
def test_what_is_recorded_on_one_side_only_is_a_difference(side):
    record = network(0)
    less = with_layer(record, 0, **{side: None})
    assert compare(less, record).status == "changed"
    assert compare(record, less).status == "changed"


def test_a_model_with_equal_weights_is_judged_by_its_samples():
    def doubled(record):
        layer = record.before.layers[1]
        a = layer.activations
        wide = dataclasses.replace(
            a,
            mean=a.mean * 2,
            std=a.std * 2,
            max=a.max * 2,
            histogram=Histogram(a.histogram.low, a.histogram.high * 2, a.histogram.counts),
        )
        return with_layer(record, 1, activations=wide)

    record = network(0, batch=256)
    assert "before layer 'layers.1' activations std" in keys(compare(doubled(record), record))


def test_an_outlier_is_found():
    rng = np.random.default_rng(0)

    def one(values):
        layer = LayerRecord(name="a", kind="Linear", weights={"weight": stats(values)})
        return RunRecord(before=ModelRecord(layers=(layer,)))

    plain, spiked = rng.normal(size=(200, 200)), rng.normal(size=(200, 200))
    spiked[3, 4] = 40.0
    for a, b in ((plain, spiked), (spiked, plain)):
        assert any(key.endswith(" max") for key in keys(compare(one(a), one(b))))


# Metrics and curves


def metrics(**values):
    return RunRecord(metrics={k: tuple(v) for k, v in values.items()})


def test_a_single_value_is_compared_to_a_small_relative_tolerance():
    assert compare(metrics(a=[1.0]), metrics(a=[1.00005])).status == "match"
    found = compare(metrics(a=[1.0]), metrics(a=[1.0003]))
    assert keys(found) == ["metric a"]
    assert found.differences[0].excess == pytest.approx(3.0, rel=0.05)
    assert compare(metrics(a=[0.0]), metrics(a=[5e-7])).status == "match"


def test_the_tolerances_given_replace_the_default():
    a, b = metrics(a=[1.0]), metrics(a=[1.05])
    assert compare(a, b, rtol=0.1).status == "match"
    assert compare(a, b, atol=0.06).status == "match"
    assert compare(a, b, rtol=0.01).status == "changed"
    assert compare(metrics(a=[1.0]), metrics(a=[1.00005]), rtol=0.0, atol=0.0).status == "changed"
    wide = metrics(a=[0.1, 0.9, 0.5])
    assert compare(wide, metrics(a=[0.2, 0.9, 0.5])).status == "match"
    assert compare(wide, metrics(a=[0.2, 0.9, 0.5]), rtol=0.01).status == "changed"


def test_the_tolerances_given_hold_for_tensors_relative_to_their_size():
    record = network(0)
    layer = record.before.layers[0]
    weight = layer.weights["weight"]
    moved = dataclasses.replace(weight, mean=weight.mean + 0.01 * weight.std)
    changed = with_layer(record, 0, weights={**layer.weights, "weight": moved})
    assert compare(changed, record).status == "match"
    assert compare(changed, record, rtol=0.02).status == "match"
    assert keys(compare(changed, record, rtol=0.005)) == [
        "before layer 'layers.0' weights.weight mean"
    ]


@pytest.mark.parametrize("bad", [-1.0, math.nan, math.inf])
def test_a_tolerance_that_is_none_is_refused(bad):
    with pytest.raises(InitcheckError, match="rtol"):
        compare(metrics(a=[1.0]), metrics(a=[1.0]), rtol=bad)
    with pytest.raises(InitcheckError, match="atol"):
        compare(metrics(a=[1.0]), metrics(a=[1.0]), atol=bad)


def test_the_spread_over_seeds_is_the_tolerance():
    expected = metrics(accuracy=[0.90, 0.92, 0.91, 0.93, 0.89, 0.91, 0.92, 0.90])
    near = metrics(accuracy=[0.91, 0.93, 0.92, 0.90, 0.92, 0.93, 0.91, 0.92])
    far = metrics(accuracy=[0.71, 0.73, 0.72, 0.70, 0.72, 0.73, 0.71, 0.72])
    assert compare(near, expected).status == "match"
    assert keys(compare(far, expected)) == ["metric accuracy"]


def test_fewer_seeds_widen_the_tolerance():
    expected = metrics(a=[1.0, 1.1, 0.9, 1.05, 0.95, 1.0, 1.08, 0.92])
    eight = compare(metrics(a=[1.6, 1.7, 1.5, 1.65, 1.55, 1.6, 1.68, 1.52]), expected)
    two = compare(metrics(a=[1.6, 1.7]), expected)
    assert eight.status == "changed"
    assert two.status == "match" or two.differences[0].excess < eight.differences[0].excess


def test_a_metric_added_removed_or_renamed():
    found = compare(metrics(a=[1.0], new=[1.0]), metrics(a=[1.0], old=[1.0]))
    assert keys(found) == ["metric old", "metric new"]
    assert [d.actual for d in found.differences] == ["absent", "recorded"]


def test_seeds_that_newly_diverge_are_a_difference():
    fine, odd = metrics(a=[1.0, 1.1, 0.9, 1.0]), metrics(a=[1.0, math.nan, 0.9, 1.0])
    for a, b in ((fine, odd), (odd, fine)):
        found = compare(a, b)
        assert keys(found) == ["metric a not finite"]
    assert compare(odd, odd).status == "match"
    assert compare(metrics(a=[math.nan]), metrics(a=[math.nan])).status == "match"
    assert compare(metrics(a=[math.inf]), metrics(a=[-math.inf])).status == "changed"
    assert compare(metrics(a=[math.nan]), metrics(a=[1.0]), rtol=1e9).status == "changed"


def curve(*curves):
    return RunRecord(curves={"w": tuple(map(tuple, curves))})


def test_a_single_curve_names_its_worst_point():
    found = compare(curve([4.0, 3.0, 2.5]), curve([4.0, 3.1, 2.0]))
    assert keys(found) == ["curve w, point 3 of 3"]
    assert (found.differences[0].actual, found.differences[0].expected) == ("2.5", "2")


def test_a_curve_of_another_length_is_a_difference():
    assert keys(compare(curve([1.0, 2.0]), curve([1.0, 2.0, 3.0]))) == ["curve w points"]
    assert keys(compare(curve([1.0]), RunRecord())) == ["curve w"]


def test_the_loss_of_fresh_weights_is_chance_and_a_real_jump_is_not():
    a, b = network(1), network(2)
    assert a.curves != b.curves
    assert compare(a, b).status == "match"
    jump = dataclasses.replace(a, curves={"loss": (tuple(x + 2 for x in a.curves["loss"][0]),)})
    assert "curve loss, point 1 of 6" in keys(compare(jump, b))


# Notes


def test_device_seeds_and_meta_that_is_no_choice_are_notes():
    stored = freeze(
        RunRecord(seeds=(0, 1), metrics={"a": (1.0, 1.1)}, meta={"model": "Net"}), PROVENANCE
    )
    actual = RunRecord(seeds=(2, 3), metrics={"a": (1.0, 1.1)}, meta={"model": "Other"})
    found = compare(actual, stored, device="cuda:0")
    assert found.status == "match"
    assert "the baseline was recorded on cpu, this run is on cuda" in found.notes
    assert "seeds: 2, 3, in the baseline 0, 1" in found.notes
    assert "model: Other, in the baseline Net" in found.notes
    assert found.provenance == PROVENANCE
    assert not compare(actual, freeze(actual, PROVENANCE), device="cpu").notes


def test_the_baseline_comes_back_for_the_picture():
    record = network(0)
    found = compare(network(1), record)
    expected = found.expected
    assert expected.curves["loss"][0] == pytest.approx(record.curves["loss"][0])
    assert [layer.name for layer in expected.before.layers] == ["layers.0", "layers.1", "layers.2"]


@given(st.integers(1, 5))
def test_every_value_counts(layers):
    record = network(0, (4, *[4] * layers, 3), batch=4)
    one = compare(network(1, (4, *[4] * layers, 3), batch=4), record)
    assert one.compared >= 40 * layers


def test_a_seed_that_is_newly_not_finite_is_no_small_change():
    values = tuple(0.9 + 1e-3 * i for i in range(8))
    record = RunRecord(metrics={"accuracy": values})
    broken = RunRecord(metrics={"accuracy": (*values[:7], math.nan)})
    assert keys(compare(broken, record)) == ["metric accuracy not finite"]


def trained(before: dict[str, int], after: dict[str, int]) -> RunRecord:
    first = ModelRecord(operations=before, wiring="a")
    return RunRecord(before=first, after=dataclasses.replace(first, operations=after))


def test_a_program_that_changed_is_told_once():
    found = compare(trained({"relu": 1}, {"relu": 1}), trained({"tanh": 1}, {"tanh": 1}))
    assert keys(found) == ["before operation tanh", "before operation relu"]
    # A program that is another one after the steps is told of by itself.
    found = compare(trained({"relu": 1}, {"exp": 1}), trained({"relu": 1}, {"relu": 1}))
    assert keys(found) == ["after operation relu", "after operation exp"]
